-- Which checks had found something wrong on pages as production made them last. Parameters: the product, the newest
-- snapshot then.
SELECT DISTINCT name, checks.as_of
FROM ledger.checks AS checks
JOIN (
    SELECT as_of, arg_max(run_id, snapshot_id) AS run_id
    FROM ledger.pages
    WHERE product = $1 AND kind = 'predictions' AND snapshot_id <= $2
    GROUP BY as_of
) AS pages USING (as_of, run_id)
WHERE checks.product = $1 AND NOT passed
