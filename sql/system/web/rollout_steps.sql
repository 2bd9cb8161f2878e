-- The steps of a rollout. Parameter: rollout.
SELECT number, decided_at, action, stage, versions, held, effective_from, page, decided_by, reason
FROM ledger.rollout_steps
WHERE rollout_id = $1
ORDER BY number
