-- What runs cost that write no row of their own to the lake's ledger, with the columns of the view ledger.costs.
SELECT
    'clock-' || run AS run_id, job, product, owner, team, result AS state, started_at, finished_at,
    cpu_s, wall_s, peak_memory_bytes, 0 AS n_rows, 0 AS bytes_written
FROM runs
WHERE cpu_s IS NOT NULL AND (work LIKE 'python %' OR work LIKE 'shell %')
