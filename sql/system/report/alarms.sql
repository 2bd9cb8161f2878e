-- The alarms that touch a range of pages. Parameters: product, first, until.
SELECT alarm_id AS alarm, kind, state, first_page, last_page, columns, flags, evidence, bound, message, reason
FROM ledger.newest_alarms
WHERE product = $1 AND last_page >= $2 AND first_page < $3
ORDER BY first_page DESC, kind
