-- What was decided on versions, the newest first. Parameters: product, version or NULL for all.
SELECT decided_at, version, action, against, passed, forced, taken, effective_from, decided_by, reason
FROM ledger.decisions
WHERE product = $1 AND ($2::VARCHAR IS NULL OR version = $2)
ORDER BY snapshot_id DESC NULLS LAST, decided_at DESC
LIMIT 100
