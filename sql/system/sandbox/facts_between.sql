-- How many versions of facts became known up to each instant and after the one before it.
SELECT histogram(known_at, [{edges}])
FROM {source}
WHERE ingest_id <= {ingest_id}
