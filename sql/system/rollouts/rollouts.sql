-- A product's rollouts, in the order in which they began.
SELECT {columns}
FROM ledger.rollouts
WHERE product = $1
ORDER BY snapshot_id
