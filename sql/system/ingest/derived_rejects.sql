-- The rows of a delivery that were turned away, into the rejects of a derivation in the making.
INSERT INTO temp.derived_rejects BY NAME
SELECT {columns}, "almanac: withdrawn" AS withdrawn, {ingest_id}::BIGINT AS ingest_id, "almanac: reason" AS reason
FROM judged
WHERE "almanac: reason" IS NOT NULL
