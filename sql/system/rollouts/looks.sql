-- The looks of a rollout.
SELECT {columns}
FROM ledger.looks
WHERE rollout_id = $1
ORDER BY as_of, arm
