-- The snapshots at which model versions were registered: there stand the feature pages that they were trained on.
SELECT DISTINCT runs.snapshot_id
FROM ledger.models
JOIN ledger.runs USING (run_id)
WHERE runs.snapshot_id IS NOT NULL
