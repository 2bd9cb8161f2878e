-- Jobs that are paused.
SELECT jobs.name AS job, pauses.paused_at, pauses.paused_by, pauses.why
FROM pauses
JOIN jobs USING (job_id)
WHERE pauses.resumed_at IS NULL
ORDER BY pauses.paused_at
