-- The runs of a product that wrote reasons.
-- Parameter: product.
SELECT {columns}
FROM ledger.reason_runs
WHERE product = $1
