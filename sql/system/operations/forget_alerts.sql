-- Forget the alerts of before an instant that were sent or given up. Parameter: the instant.
DELETE FROM alerts
WHERE raised_at < :before AND state <> 'raised'
