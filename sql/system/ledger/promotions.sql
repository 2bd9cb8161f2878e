-- A product's promotions, in the order in which they were made. Parameter: product.
SELECT {columns}
FROM ledger.promotions
WHERE product = $1
ORDER BY promoted_at
