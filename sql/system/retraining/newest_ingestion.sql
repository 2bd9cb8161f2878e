-- The newest ingestion before an instant. Parameter: the instant.
SELECT max(ingest_id)
FROM ledger.ingestions
WHERE ingested_at < $1
