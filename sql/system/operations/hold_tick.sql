-- Write down what a tick waits for, if that has changed.
UPDATE ticks
SET not_before = coalesce(:until, not_before), reason = :reason
WHERE job_id = :job_id AND at = :at AND outcome IS NULL AND run IS NULL
    AND (reason IS NOT :reason OR :until IS NOT NULL)
