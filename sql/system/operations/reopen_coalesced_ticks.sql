-- Let ticks wait again whose work was to be done by one of after an instant that is no longer there. Parameter: the
-- instant.
UPDATE ticks
SET outcome = NULL, reason = NULL, covered_by = NULL, settled_at = NULL
WHERE outcome = 'coalesced' AND covered_by > :now
    AND NOT EXISTS (SELECT 1 FROM ticks AS other WHERE other.job_id = ticks.job_id AND other.at = ticks.covered_by)
