-- The jobs that have ticks without an outcome, those that were taken out of the schedule too.
SELECT job_id
FROM jobs
WHERE EXISTS (
    SELECT 1 FROM ticks INDEXED BY ticks_open
    WHERE ticks.job_id = jobs.job_id AND outcome IS NULL
)
