-- Who let jobs rest, and who let them go on.
SELECT paused_at AS at, paused_by AS who, 'pause' AS what, name AS job, why
FROM pauses JOIN jobs USING (job_id)
UNION ALL
SELECT resumed_at, resumed_by, 'resume', name, resumed_why
FROM pauses JOIN jobs USING (job_id)
WHERE resumed_at IS NOT NULL
