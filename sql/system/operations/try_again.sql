-- Put a tick back among those that wait, after an attempt that did not succeed.
UPDATE ticks
SET run = NULL, attempts = :attempts, abandoned = :abandoned, not_before = :not_before, reason = :reason
WHERE job_id = :job_id AND at = :at AND outcome IS NULL
