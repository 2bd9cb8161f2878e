-- The runs of Almanac's own commands, the newest first.
SELECT started_at, job, product, state, n_pages, n_rows, wall_s, cpu_s, run_id, error
FROM ledger.runs
ORDER BY started_at DESC, run_id
LIMIT 50
