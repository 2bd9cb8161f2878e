-- The newest tick of a job at or before an instant. Parameters: the job's name, the instant.
SELECT ticks.job_id, ticks.at, ticks.outcome, ticks.covered_by
FROM ticks
WHERE job_id = (SELECT job_id FROM jobs WHERE name = ? AND removed_at IS NULL) AND at <= ?
ORDER BY at DESC
LIMIT 1
