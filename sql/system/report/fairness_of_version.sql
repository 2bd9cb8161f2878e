-- The figures between groups that were written last of a version. Parameters: product, version.
SELECT by_columns, coalesce(group_values, statistic) AS of, metric, figure, low, high, n_rows, n_pages
FROM ledger.fairness
WHERE product = $1 AND model_version = $2
QUALIFY snapshot_id = max(snapshot_id) OVER ()
ORDER BY by_columns, metric, group_values NULLS FIRST, of
