-- How many rows each page has in a staged file.
SELECT as_of, count(*)
FROM read_parquet($1)
GROUP BY as_of
