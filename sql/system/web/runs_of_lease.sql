-- What one attempt of the clock did to the lake. Parameter: its lease.
SELECT started_at, job, product, state, n_pages, n_rows, wall_s, cpu_s, run_id, error
FROM ledger.runs
WHERE lease = $1
ORDER BY started_at, run_id
