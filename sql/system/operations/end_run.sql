-- Write down how an attempt ended and what it cost, if nobody else has.
UPDATE runs
SET finished_at = :now, result = :result, reason = :reason,
    cpu_s = :cpu_s, wall_s = :wall_s, peak_memory_bytes = :peak_memory_bytes
WHERE run = :run AND result IS NULL
