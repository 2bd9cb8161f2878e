-- Until when the last of each page's predictions is valid.
SELECT as_of, max(valid_until)
FROM read_parquet($1)
GROUP BY as_of
