-- The decisions on a product's model versions, in the order in which they were made. Parameter: product.
SELECT {columns}
FROM ledger.decisions
WHERE product = $1
ORDER BY decided_at, snapshot_id
