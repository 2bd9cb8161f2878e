-- The newest publication of each page of a product: its kind, its page and when it was recorded. Parameter: the product.
SELECT kind, as_of, recorded_at
FROM ledger.published_pages
WHERE product = $1
ORDER BY kind, as_of
