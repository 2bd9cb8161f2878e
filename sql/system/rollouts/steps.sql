-- The steps of a product's rollouts.
SELECT {columns}
FROM ledger.rollout_steps
WHERE product = $1
ORDER BY rollout_id, number
