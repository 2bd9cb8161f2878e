-- Rejected rows of a source, the first of them.
SELECT *
FROM {table}
ORDER BY ALL
LIMIT 20
