-- How alarms stood at an instant. Parameters: product (NULL: all), the instant (NULL: now).
SELECT {columns}
FROM ledger.alarms
WHERE ($1 IS NULL OR product = $1) AND ($2 IS NULL OR known_by <= $2)
QUALIFY row_number() OVER (PARTITION BY product, alarm_id ORDER BY snapshot_id DESC) = 1
ORDER BY product, first_page, kind, alarm_id
