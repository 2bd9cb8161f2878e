-- What became of the last tick of a job before an instant that was run. Parameters: job, instant.
SELECT outcome
FROM ticks
WHERE job_id = ? AND at < ? AND outcome IN ('ran', 'caught up', 'failed')
ORDER BY at DESC
LIMIT 1
