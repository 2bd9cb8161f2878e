-- When a delivery reached us. Parameter: ingestion.
SELECT ingested_at
FROM ledger.ingestions
WHERE ingest_id = $1
