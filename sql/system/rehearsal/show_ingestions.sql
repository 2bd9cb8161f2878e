-- Puts kept ingestions that were recorded before an instant into the ledger. Parameters: the file, the instant.
INSERT INTO ledger.ingestions BY NAME
SELECT *
FROM read_parquet($1)
WHERE ingested_at < $2 AND ingest_id NOT IN (SELECT ingest_id FROM ledger.ingestions)
ORDER BY ingest_id
