-- The figures between groups that were written last. Parameter: product.
SELECT {columns}
FROM ledger.fairness
WHERE product = $1
QUALIFY snapshot_id = max(snapshot_id) OVER ()
ORDER BY model_version, by_columns, metric, statistic, group_values
