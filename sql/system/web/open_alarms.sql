-- Open alarms, the newest first. Parameter: product or NULL for all.
SELECT alarm_id AS alarm, product, kind, first_page, last_page, columns, evidence, bound, message, expected
FROM ledger.newest_alarms
WHERE state = 'open' AND ($1::VARCHAR IS NULL OR product = $1)
ORDER BY last_page DESC, product, alarm_id
