-- What was taken in of a source, ingestion by ingestion, and whether an earlier version of Almanac took it in.
-- Parameter: source.
SELECT ingest_id, coalesce(derivation, 1), ingested_at, run_id, files, derivation IS NULL
FROM ledger.ingestions
WHERE source = $1
ORDER BY ingest_id, derivation
