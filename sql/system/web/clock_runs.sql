-- The attempts of the clock, the newest first.
SELECT started_at, finished_at, job, work, product, result, reason, wall_s, cpu_s, run
FROM runs
ORDER BY run DESC
LIMIT 50
