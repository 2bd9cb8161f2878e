-- The page grid of a product as last recorded. Parameter: product.
SELECT cron, zone, since
FROM ledger.grids
WHERE product = $1
ORDER BY recorded_at DESC
LIMIT 1
