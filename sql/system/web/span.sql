-- The first and the last of the newest pages that are drawn. Parameter: product.
SELECT min(as_of) AS first_page, max(as_of) AS last_page
FROM (
    SELECT as_of
    FROM ledger.published_pages
    WHERE product = $1 AND kind = 'predictions'
    ORDER BY as_of DESC
    LIMIT 400
)
