-- What the gates found of a version. Parameters: product, version.
SELECT gate, passed, figure, low, high, bound, n_rows, n_pages, message
FROM ledger.gates
WHERE product = $1 AND version = $2
ORDER BY decision_id, gate
