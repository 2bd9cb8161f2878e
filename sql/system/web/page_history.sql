-- All that became of a page: its features, predictions and labels, the newest first. Parameters: product, as_of.
SELECT recorded_at, kind, state, n_rows, model_version, run_id, snapshot_id, ingest_id, note
FROM ledger.pages
WHERE product = $1 AND as_of = $2
ORDER BY snapshot_id DESC, kind
LIMIT 50
