-- The accepted rows of a delivery, into the facts of a derivation in the making.
INSERT INTO temp.derived BY NAME
SELECT {columns}, "almanac: known_at" AS known_at, {ingest_id}::BIGINT AS ingest_id, "almanac: withdrawn" AS withdrawn
FROM judged
WHERE "almanac: reason" IS NULL
