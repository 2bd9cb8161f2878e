-- The ticks of a job without an outcome, oldest first: the first ones, and the newest, since after a long outage
-- there may be hundreds of thousands. The index is named because SQLite would rather go through every tick there
-- ever was. Parameters: the job, how many.
SELECT job_id, at, page, seen_at, missed, attempts, abandoned, not_before, run, reason
FROM (
    SELECT * FROM ticks INDEXED BY ticks_open
    WHERE job_id = :job_id AND outcome IS NULL
    ORDER BY at
    LIMIT :at_most
)
UNION
SELECT job_id, at, page, seen_at, missed, attempts, abandoned, not_before, run, reason
FROM (
    SELECT * FROM ticks INDEXED BY ticks_open
    WHERE job_id = :job_id AND outcome IS NULL
    ORDER BY at DESC
    LIMIT 1
)
ORDER BY at
