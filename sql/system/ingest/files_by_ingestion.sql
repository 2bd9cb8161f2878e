-- The files of each ingestion of a source in one derivation, oldest first. Parameters: source, derivation.
SELECT files
FROM ledger.ingestions
WHERE source = $1 AND coalesce(derivation, 1) = $2
ORDER BY ingest_id
