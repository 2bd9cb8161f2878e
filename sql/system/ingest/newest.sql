-- The newest version of each fact that the lake holds.
CREATE OR REPLACE TEMP VIEW newest AS
SELECT *
FROM (
    SELECT {columns}, withdrawn, known_at, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: next"
    FROM lake.sources.{source}
)
WHERE "almanac: next" IS NULL
