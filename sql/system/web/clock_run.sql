-- One attempt of the clock. Parameter: its number.
SELECT run, started_at, finished_at, job, work, product, pool, owner, team, result, reason, wall_s, cpu_s,
    peak_memory_bytes, lease
FROM runs
WHERE run = $1
