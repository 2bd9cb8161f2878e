-- What became of a product's exports, in the order in which it was written down. Parameter: product.
SELECT {columns}
FROM ledger.exports
WHERE product = $1
ORDER BY recorded_at, snapshot_id, as_of
