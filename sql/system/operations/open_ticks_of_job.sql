-- The ticks of a job without an outcome in the order of time, `first` being ASC for the oldest first, or DESC. The
-- index is named because SQLite would rather go through every tick there ever was. Parameters: the job, how many.
SELECT job_id, at, page, seen_at, missed, attempts, abandoned, not_before, run, reason
FROM ticks INDEXED BY ticks_open
WHERE job_id = ? AND outcome IS NULL
ORDER BY at {first}
LIMIT ?
