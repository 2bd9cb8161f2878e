-- The figures between groups that were written last. Of all versions, or of one.
-- Parameters: product, version or NULL.
SELECT by_columns, coalesce(group_values, statistic) AS of, metric, figure, low, high, n_rows, n_pages
FROM ledger.fairness
WHERE product = $1 AND ($2::VARCHAR IS NULL OR model_version = $2)
QUALIFY snapshot_id = max(snapshot_id) OVER ()
ORDER BY by_columns, metric, group_values NULLS FIRST, of
