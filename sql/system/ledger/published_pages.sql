-- The newest publication of each page of one product and kind, in a stretch of time.
-- Parameters: product, kind, first, last (both included).
SELECT {columns}
FROM ledger.published_pages
WHERE product = $1 AND kind = $2 AND as_of BETWEEN $3 AND $4
ORDER BY as_of
