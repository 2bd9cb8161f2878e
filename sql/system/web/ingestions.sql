-- The deliveries of a source, the newest first. Parameter: source.
SELECT
    ingested_at, ingest_id, rows_read, rows_new, rows_restated, rows_withdrawn, rows_unchanged, rows_rejected,
    min_known_at, max_known_at, run_id
FROM ledger.ingestions
WHERE source = $1
ORDER BY ingest_id DESC
LIMIT 100
