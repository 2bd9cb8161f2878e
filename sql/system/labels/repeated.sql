-- The first entity and page with more than one label.
SELECT as_of, {keys}
FROM read_parquet($1)
GROUP BY ALL
HAVING count(*) > 1
ORDER BY ALL
LIMIT 1
