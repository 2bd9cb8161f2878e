-- A source as a lifted query reads it: every fact that some page sees, and none was ever replaced.
CREATE VIEW {view} AS
SELECT {columns}, known_at AS "almanac: known at", NULL::TIMESTAMP AS "almanac: superseded at"
FROM {source}
WHERE known_at < {horizon} AND ingest_id <= {ingest_id}
