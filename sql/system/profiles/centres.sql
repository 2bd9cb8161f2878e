-- What the bins of a product's columns count from, the oldest first. Parameter: product.
SELECT {columns}
FROM ledger.profile_centres
WHERE product = $1
ORDER BY recorded_at, run_id
