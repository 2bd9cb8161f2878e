-- A source as the range way reads it: every fact, each with the time from which pages may see it.
CREATE VIEW {view} AS
SELECT {columns}
FROM {source}
WHERE known_at < {horizon} AND ingest_id <= {ingest_id}
