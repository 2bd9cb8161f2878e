-- The compiled files of a version that were written after it was registered, the newest last.
-- Parameters: product, version.
SELECT {columns}
FROM ledger.compiled_models
WHERE product = $1 AND version = $2
ORDER BY snapshot_id
