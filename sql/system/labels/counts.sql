-- How many labels each page has.
SELECT as_of, count(*)
FROM read_parquet($1)
GROUP BY as_of
