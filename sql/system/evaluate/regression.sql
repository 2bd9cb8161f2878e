-- Published predictions against the labels known since, in all or by group.
WITH scored AS (
    SELECT {by} AS "group", label::DOUBLE AS label, prediction
    FROM {rows}
)
SELECT
    "group",
    count(*) AS n_rows,
    avg(label ORDER BY label) AS mean_label,
    avg(prediction ORDER BY prediction) AS mean_prediction,
    avg(abs(prediction - label) ORDER BY abs(prediction - label)) AS mae,
    sqrt(avg((prediction - label) ** 2 ORDER BY abs(prediction - label))) AS rmse,
    -- What always saying the mean of these very rows would have come to: the best that a constant can do.
    stddev_pop(label ORDER BY label) AS rmse_of_mean,
    1 - sum((prediction - label) ** 2 ORDER BY abs(prediction - label))
        / nullif(var_pop(label ORDER BY label) * count(*), 0) AS r2
FROM scored
GROUP BY "group"
ORDER BY n_rows DESC, "group"
