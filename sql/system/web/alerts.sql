-- Alerts that were raised, the newest first.
SELECT raised_at, title, body, state, tries
FROM alerts
ORDER BY raised_at DESC, what
LIMIT 20
