-- The rollbacks of a product's pages, the newest of each last. Parameter: product.
SELECT {columns}
FROM ledger.rollbacks
WHERE product = $1
ORDER BY snapshot_id
