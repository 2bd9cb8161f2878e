-- Every row has all quantiles, none below the one before it, and is predicted to be one of them.
SELECT *
FROM {predictions}
WHERE list_count({quantiles}) < {n_quantiles}
    OR coalesce(list_bool_or(list_transform({quantiles}, lambda each: isnan(each))), FALSE)
    OR {quantiles} IS DISTINCT FROM list_sort({quantiles})
    OR {score} IS DISTINCT FROM {quantiles}[{middle}]
