-- What runs cost that may have written no row of their own to the lake's ledger, or not of all that they did: Python
-- functions and shell commands, and commands of Almanac that were cut short. With the columns of the view ledger.costs,
-- and the lease, by which it is found what of it the ledger has.
SELECT
    'clock-' || run AS run_id, lease, job, product, owner, team, result AS state, started_at, finished_at,
    cpu_s, wall_s, peak_memory_bytes, 0 AS n_rows, 0 AS bytes_written
FROM runs
WHERE cpu_s IS NOT NULL
  AND (
      work LIKE 'python %' OR work LIKE 'shell %' OR result IN ('interrupted', 'abandoned')
      OR reason LIKE 'its supervisor was killed%' OR reason LIKE 'killed by signal %' OR reason LIKE 'took longer than its timeout%' OR reason LIKE 'exit 130%'
  )
