-- How many rows a page of a product has, on average over its newest hundred; NULL if it has none.
-- Parameter: product. Not by ORDER BY and LIMIT, for which DuckDB reads the table twice; nor kind and state by WHERE, for
-- which DuckLake reads its statistics of files.
SELECT list_avg(
    max_by(n_rows, as_of, 100) FILTER (kind IN ('features', 'predictions') AND state = 'published')
)
FROM ledger.pages
WHERE product = $1
