-- Whether a product was to be trained again, and why, the newest answers first. Parameter: product.
SELECT known_by, job, answer, reason, fired, needs, version, figures
FROM ledger.triggers
WHERE product = $1
ORDER BY snapshot_id DESC
LIMIT 100
