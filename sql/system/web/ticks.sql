-- What became of each tick, the newest first.
SELECT
    ticks.at, jobs.name AS job, ticks.page,
    CASE WHEN ticks.outcome IS NOT NULL THEN ticks.outcome WHEN ticks.run IS NOT NULL THEN 'running' ELSE 'waiting' END
        AS state,
    ticks.reason, ticks.attempts, runs.run, ticks.settled_at
FROM ticks
JOIN jobs USING (job_id)
LEFT JOIN runs ON runs.run = ticks.last_run
ORDER BY ticks.at DESC, jobs.name
LIMIT 200
