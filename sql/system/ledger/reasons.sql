-- How a version's predictions are explained on some basis, the newest last.
-- Parameters: product, version, basis.
SELECT {columns}
FROM ledger.reasons
WHERE product = $1 AND version = $2 AND basis = $3
ORDER BY snapshot_id
