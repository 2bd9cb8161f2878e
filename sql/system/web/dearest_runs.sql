-- The runs that took most.
SELECT started_at, job, product, state, cpu_s, wall_s, peak_memory_bytes, n_rows, run_id
FROM ledger.costs
ORDER BY cpu_s DESC NULLS LAST, run_id
LIMIT 20
