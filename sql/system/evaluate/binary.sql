-- Published probabilities against the labels known since, in all or by group. ROC AUC is the Mann-Whitney
-- statistic with ties at their mean rank (Fawcett 2006); a probability of 0 or 1 is clipped for the log loss as
-- scikit-learn does. Sums of DOUBLE are taken in an order of their own, so that equal rows give equal bits.
WITH scored AS (
    SELECT
        {by} AS "group",
        label::DOUBLE AS label,
        probability,
        greatest(least(probability, 1 - 2.220446049250313e-16), 2.220446049250313e-16) AS clipped
    FROM {rows}
),
ranked AS (
    SELECT
        *,
        rank() OVER (PARTITION BY "group" ORDER BY probability)
            + (count(*) OVER (PARTITION BY "group", probability) - 1) / 2 AS mean_rank
    FROM scored
)
SELECT
    "group",
    count(*) AS n_rows,
    avg(label) AS base_rate,
    avg(probability ORDER BY probability) AS mean_probability,
    (sum(mean_rank) FILTER (label = 1) - sum(label) * (sum(label) + 1) / 2)
        / nullif(sum(label) * (count(*) - sum(label)), 0) AS roc_auc,
    -avg(CASE WHEN label = 1 THEN ln(clipped) ELSE ln(1 - clipped) END ORDER BY label, clipped) AS log_loss,
    -- What always saying the base rate of these very rows would have come to: the best that a constant can do.
    coalesce(-avg(label) * ln(nullif(avg(label), 0)), 0)
        + coalesce((avg(label) - 1) * ln(nullif(1 - avg(label), 0)), 0) AS log_loss_of_base_rate,
    avg((probability - label) ** 2 ORDER BY label, probability) AS brier,
    avg(label) * (1 - avg(label)) AS brier_of_base_rate
FROM ranked
GROUP BY "group"
ORDER BY n_rows DESC, "group"
