-- A source as it was known at one instant, where no fact has more than one version.
CREATE OR REPLACE VIEW {view} AS
SELECT {columns}
FROM {source}
WHERE known_at < {horizon} AND ingest_id <= {ingest_id}
