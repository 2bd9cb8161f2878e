-- The ingestions of a source, oldest first. Parameters: source, the newest ingestion that counts.
SELECT ingest_id, ingested_at, rows_read
FROM ledger.ingestions
WHERE source = $1 AND ingest_id <= $2
ORDER BY ingest_id
