-- A source as it was known at one instant: of each fact the newest version known by then, unless withdrawn.
-- One uncorrelated lead() is several times cheaper here than QUALIFY row_number().
CREATE OR REPLACE VIEW {view} AS
SELECT {columns}
FROM (
    SELECT *, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: superseded at"
    FROM {source}
    WHERE known_at < {horizon} AND ingest_id <= {ingest_id}
)
WHERE "almanac: superseded at" IS NULL AND NOT withdrawn
