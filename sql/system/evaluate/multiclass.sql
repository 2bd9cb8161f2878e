-- Published probabilities of classes against the labels known since, in all or by group. A class's ROC AUC is its
-- Mann-Whitney statistic against the rest, ties at their mean rank; the mean is over the classes that occur beside others.
-- F1 is averaged over the classes that occur, in labels or in what was predicted. A probability is clipped for the log
-- loss as scikit-learn does. Sums of DOUBLE are taken in an order of their own, so that equal rows give equal bits.
WITH scored AS (
    SELECT
        {by} AS "group",
        row_number() OVER () AS n,
        label,
        prediction,
        {probabilities} AS probabilities
    FROM {rows}
),
exploded AS (
    SELECT "group", n, label, prediction, unnest({classes}) AS class, coalesce(unnest(probabilities), 0) AS probability
    FROM scored
),
ranked AS (
    SELECT
        *,
        rank() OVER (PARTITION BY "group", class ORDER BY probability)
            + (count(*) OVER (PARTITION BY "group", class, probability) - 1) / 2 AS mean_rank
    FROM exploded
),
by_class AS (
    SELECT
        "group",
        class,
        count(*) AS n_rows,
        count(*) FILTER (label = class) AS n_own,
        count(*) FILTER (prediction = class) AS n_taken,
        count(*) FILTER (label = class AND prediction = class) AS n_hit,
        (sum(mean_rank) FILTER (label = class) - n_own * (n_own + 1) / 2) / nullif(n_own * (n_rows - n_own), 0) AS roc_auc,
        sum((probability - (label = class)::INTEGER) ** 2 ORDER BY label = class, probability) AS squares,
        sum(ln(greatest(least(probability, 1 - 2.220446049250313e-16), 2.220446049250313e-16)) ORDER BY probability)
            FILTER (label = class) AS logarithms
    FROM ranked
    GROUP BY "group", class
)
SELECT
    "group",
    any_value(n_rows) AS n_rows,
    -sum(logarithms ORDER BY class) / any_value(n_rows) AS log_loss,
    -- What always saying how frequent the classes are among these very rows would have come to.
    -sum(n_own / n_rows * ln(nullif(n_own, 0) / n_rows) ORDER BY class) AS log_loss_of_base_rates,
    sum(n_hit) / any_value(n_rows) AS accuracy,
    max(n_own) / any_value(n_rows) AS accuracy_of_most_frequent,
    avg(2 * n_hit / nullif(n_own + n_taken, 0) ORDER BY class) AS macro_f1,
    avg(roc_auc ORDER BY class) AS roc_auc,
    sum(squares ORDER BY class) / any_value(n_rows) AS brier
FROM by_class
GROUP BY "group"
ORDER BY n_rows DESC, "group"
