-- Take a tick that waits into a run.
UPDATE ticks
SET run = :run, last_run = :run, reason = NULL
WHERE job_id = :job_id AND at = :at AND outcome IS NULL AND run IS NULL
