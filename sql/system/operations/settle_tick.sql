-- Give a tick its outcome, if nobody else has.
UPDATE ticks
SET outcome = :outcome, reason = :reason, covered_by = :into, settled_at = :now, run = NULL
WHERE job_id = :job_id AND at = :at AND outcome IS NULL
