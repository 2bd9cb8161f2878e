-- Who scored and served how many rows in a rollout. Parameter: rollout.
SELECT
    arm, count(DISTINCT as_of) AS pages, sum(n_rows)::BIGINT AS scored, sum(n_served)::BIGINT AS served,
    sum(n_served) / nullif(sum(sum(n_served)) OVER (), 0) AS share
FROM ledger.arms
WHERE rollout_id = $1
GROUP BY arm
ORDER BY arm
