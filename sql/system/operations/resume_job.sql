-- End the pause of a job. Parameters: when, who, why, the job's identity.
UPDATE pauses
SET resumed_at = ?, resumed_by = ?, resumed_why = ?
WHERE job_id = ? AND resumed_at IS NULL
