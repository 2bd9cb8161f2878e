-- The ticks of a run that is not over, oldest first. Parameter: the run.
SELECT job_id, at, page, seen_at, missed, attempts, abandoned, not_before, run, reason
FROM ticks
WHERE run = ?
ORDER BY at
