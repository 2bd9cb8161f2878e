-- The newest version of each fact that is held.
CREATE OR REPLACE TEMP VIEW newest AS
SELECT *
FROM (
    SELECT {columns}, withdrawn, known_at, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: next"
    FROM {facts}
)
WHERE "almanac: next" IS NULL
