-- What the gates found of one version. Parameters: product, version.
SELECT {columns}
FROM ledger.gates
WHERE product = $1 AND version = $2
ORDER BY decision_id, gate
