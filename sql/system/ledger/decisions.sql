-- The decisions on a product's model versions, in the order of their commits: a clock may have been set back in between.
-- Parameter: product.
SELECT {columns}
FROM ledger.decisions
WHERE product = $1
ORDER BY snapshot_id, decided_at
