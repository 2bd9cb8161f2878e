-- Forget the ticks that ended before an instant. Kept are those of each job from its newest on that is no later than
-- that instant, and than any tick which is still open: a job that comes after another one asks for just that tick. Kept
-- is too what lies after that up to which the job's ticks are written down, since it would be due again.
-- Parameter: the instant.
WITH horizon AS (
    SELECT min(:before, coalesce((SELECT min(at) FROM ticks WHERE outcome IS NULL), :before)) AS at
),

kept_from AS MATERIALIZED (
    SELECT ticks.job_id, min(max(ticks.at), jobs.seen_until) AS at
    FROM horizon, ticks
    JOIN jobs USING (job_id)
    WHERE ticks.at <= horizon.at
    GROUP BY ticks.job_id
)

DELETE FROM ticks
WHERE outcome IS NOT NULL AND settled_at < :before
    AND at < (SELECT kept_from.at FROM kept_from WHERE kept_from.job_id = ticks.job_id)
