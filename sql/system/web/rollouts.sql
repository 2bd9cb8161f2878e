-- The rollouts of a product, the newest first. Parameter: product.
SELECT rollout_id, started_at, started_by, versions, live, effective_from, reason, plan
FROM ledger.rollouts
WHERE product = $1
ORDER BY snapshot_id DESC
