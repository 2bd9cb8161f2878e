-- A product's model versions, oldest first. Parameter: product.
SELECT {columns}
FROM ledger.models
WHERE product = $1
ORDER BY trained_at, version
