-- How a version's predictions are explained, the newest basis last. Parameters: product, version.
SELECT {columns}
FROM ledger.reasons
WHERE product = $1 AND version = $2
ORDER BY snapshot_id
