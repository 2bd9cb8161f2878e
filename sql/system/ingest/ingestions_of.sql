-- The ingestions of one derivation of a source, the oldest first. Parameters: source, derivation.
SELECT {columns}
FROM ledger.ingestions
WHERE source = $1 AND coalesce(derivation, 1) = $2
ORDER BY ingest_id
