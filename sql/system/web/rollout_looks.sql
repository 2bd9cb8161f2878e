-- The looks of a rollout: difference of losses with its confidence sequence, and what followed. Parameter: rollout.
SELECT as_of, arm, stage, n_rows, loss, live_loss, difference, mean, low, high, e_worse, e_good, decision, reason
FROM ledger.looks
WHERE rollout_id = $1
ORDER BY as_of, arm
