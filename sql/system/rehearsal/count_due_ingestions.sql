-- How many kept ingestions were recorded before an instant and are not in the ledger yet. Parameters: the file, the instant.
SELECT count(*)
FROM read_parquet($1)
WHERE ingested_at < $2 AND ingest_id NOT IN (SELECT ingest_id FROM ledger.ingestions)
