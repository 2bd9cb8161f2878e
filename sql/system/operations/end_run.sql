-- Write down how an attempt ended, if nobody else has.
UPDATE runs
SET finished_at = :now, result = :result, reason = :reason
WHERE run = :run AND result IS NULL
