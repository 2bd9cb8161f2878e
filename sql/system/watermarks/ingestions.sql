-- The ingestions of a source into a derivation, oldest first. Parameters: source, the newest ingestion that counts,
-- the derivation.
SELECT ingest_id, ingested_at, rows_read
FROM ledger.ingestions
WHERE source = $1 AND ingest_id <= $2 AND {derivation} = $3
ORDER BY ingest_id
