-- How many rows a page of a product has, on average over its newest hundred; NULL if it has none.
-- Parameter: product.
SELECT avg(n_rows)
FROM (
    SELECT n_rows
    FROM ledger.pages
    WHERE product = $1 AND kind IN ('features', 'predictions') AND state = 'published'
    ORDER BY as_of DESC
    LIMIT 100
)
