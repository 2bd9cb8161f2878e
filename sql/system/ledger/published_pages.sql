-- The newest publication of each page of one product and kind. Parameters: product, kind.
SELECT {columns}
FROM ledger.published_pages
WHERE product = $1 AND kind = $2
ORDER BY as_of
