-- Forget the ticks that ended before an instant. Kept are those of each job from its newest on that is no later than
-- that instant, and than any tick which is still open: a job that comes after another one asks for just that tick. Kept
-- is too what lies after that up to which the job's ticks are written down, since it would be due again.
-- Parameter: the instant.
WITH horizon AS (
    SELECT min(at) AS at
    FROM (SELECT :before AS at UNION ALL SELECT min(at) FROM ticks WHERE outcome IS NULL) AS bounds
),

kept_from AS MATERIALIZED (
    SELECT
        ticks.job_id, CASE WHEN max(ticks.at) < jobs.seen_until THEN max(ticks.at) ELSE jobs.seen_until END AS at
    FROM horizon, ticks
    JOIN jobs USING (job_id)
    WHERE ticks.at <= horizon.at
    GROUP BY ticks.job_id, jobs.seen_until
)

DELETE FROM ticks
WHERE outcome IS NOT NULL AND settled_at < :before
    AND at < (SELECT kept_from.at FROM kept_from WHERE kept_from.job_id = ticks.job_id)
