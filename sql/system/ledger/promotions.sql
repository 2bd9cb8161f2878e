-- A product's promotions. Parameter: product.
SELECT {columns}
FROM ledger.promotions
WHERE product = $1
