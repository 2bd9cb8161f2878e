-- How many rows each arm served of one publication of a page. Parameters: product, as_of, run, snapshot.
SELECT arm, n_served
FROM ledger.arms
WHERE product = $1 AND as_of = $2 AND run_id = $3 AND snapshot_id = $4 AND n_served > 0
ORDER BY arm
