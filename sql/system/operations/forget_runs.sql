-- Forget the runs that ended before an instant and that no tick speaks of any more. Parameter: the instant.
DELETE FROM runs
WHERE finished_at < :before
    AND run NOT IN (SELECT last_run FROM ticks WHERE last_run IS NOT NULL)
