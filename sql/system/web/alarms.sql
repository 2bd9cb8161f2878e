-- All alarms of a product, the newest first. Parameter: product.
SELECT alarm_id AS alarm, kind, state, first_page, last_page, columns, flags, evidence, bound, message, decided_by, reason
FROM ledger.newest_alarms
WHERE product = $1
ORDER BY first_page DESC, kind, alarm_id
LIMIT 100
