-- The newest page, the first of its rows.
SELECT {columns}
FROM {view}
ORDER BY {order}
LIMIT 20
