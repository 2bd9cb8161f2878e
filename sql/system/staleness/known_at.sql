-- When the facts that one ingestion brought could first have been known. Parameter: the ingestion.
SELECT DISTINCT known_at
FROM {source}
WHERE ingest_id = $1
ORDER BY known_at
