-- What became of each tick, newest first. Parameters: job name or NULL, from, to (excluded), how many at most.
SELECT
    jobs.name AS job, ticks.at, ticks.page, ticks.missed, ticks.attempts, ticks.abandoned,
    CASE WHEN ticks.outcome IS NOT NULL THEN ticks.outcome WHEN ticks.run IS NOT NULL THEN 'running' ELSE 'waiting' END
        AS state,
    ticks.reason, ticks.covered_by, ticks.not_before, ticks.settled_at, ticks.last_run AS run,
    runs.started_at, runs.finished_at
FROM ticks
JOIN jobs USING (job_id)
LEFT JOIN runs ON runs.run = ticks.last_run
WHERE (:job IS NULL OR jobs.name = :job)
    AND (:start IS NULL OR ticks.at >= :start)
    AND (:end IS NULL OR ticks.at < :end)
ORDER BY ticks.at DESC, jobs.name
LIMIT :at_most
