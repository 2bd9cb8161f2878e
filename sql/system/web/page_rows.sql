-- Rows of a page. Parameters: as_of.
SELECT {columns}
FROM {table}
WHERE as_of = $1
ORDER BY {order}
LIMIT 20
