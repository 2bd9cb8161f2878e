-- The facts that a delivery gives, each with the instant at which it became known.
CREATE TABLE {facts} AS
SELECT {columns}, "almanac: known_at" AS known_at, 1::BIGINT AS ingest_id, "almanac: withdrawn" AS withdrawn
FROM judged
WHERE "almanac: reason" IS NULL
