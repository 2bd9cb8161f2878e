-- The newest version of each fact of a source, without those that are withdrawn: one row a fact, to add up and count.
SELECT {columns}
FROM (
    SELECT *, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: superseded at"
    FROM sources.{source}
)
WHERE "almanac: superseded at" IS NULL AND NOT withdrawn
