-- Write down what a tick waits for.
UPDATE ticks
SET not_before = coalesce(:until, not_before), reason = :reason
WHERE job_id = :job_id AND at = :at AND outcome IS NULL AND run IS NULL
