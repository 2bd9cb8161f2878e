-- What was taken in of a source, ingestion by ingestion. Parameter: source.
SELECT ingest_id, coalesce(derivation, 1), ingested_at, run_id, files
FROM ledger.ingestions
WHERE source = $1
ORDER BY ingest_id, derivation
