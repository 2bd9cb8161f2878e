-- Forget the ticks of after an instant that were never run. Parameter: the instant.
DELETE FROM ticks
WHERE at > :now AND last_run IS NULL
