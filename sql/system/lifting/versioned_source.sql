-- A source as a lifted query reads it: every version of a fact that some page sees, each with the time from which
-- the next one, or its withdrawal, took its place.
CREATE VIEW {view} AS
SELECT {columns}, known_at AS "almanac: known at", "almanac: superseded at"
FROM (
    SELECT *, lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: superseded at"
    FROM {source}
    WHERE known_at < {horizon} AND ingest_id <= {ingest_id}
)
WHERE NOT withdrawn
