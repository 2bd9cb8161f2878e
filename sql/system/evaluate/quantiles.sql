-- Published quantiles against the labels known since, in all or by group. Sums of DOUBLE are taken in an order of their
-- own, so that equal rows give equal bits.
WITH scored AS (
    SELECT {by} AS "group", row_number() OVER () AS n, label::DOUBLE AS label, prediction, {quantiles} AS quantiles
    FROM {rows}
),
exploded AS (
    SELECT "group", label, unnest({levels}) AS level, unnest(quantiles) AS quantile
    FROM scored
),
by_level AS (
    SELECT
        "group",
        level,
        count(*) AS n_rows,
        avg(greatest(level * (label - quantile), (level - 1) * (label - quantile)) ORDER BY label, quantile) AS pinball,
        avg((label <= quantile)::INTEGER) AS reached
    FROM exploded
    GROUP BY "group", level
),
-- What constants could have done at best: the quantiles of these very labels.
constants AS (
    SELECT "group", unnest({levels}) AS level, unnest(quantile_disc(label, {levels})) AS constant
    FROM scored
    GROUP BY "group"
),
of_constants AS (
    SELECT
        exploded."group",
        level,
        avg(greatest(level * (label - constant), (level - 1) * (label - constant)) ORDER BY label) AS pinball
    FROM exploded
    JOIN constants USING ("group", level)
    GROUP BY exploded."group", level
),
of_levels AS (
    SELECT
        "group",
        avg(by_level.pinball ORDER BY level) AS pinball,
        avg(of_constants.pinball ORDER BY level) AS pinball_of_constants,
        avg(abs(reached - level) ORDER BY level) AS calibration_error
    FROM by_level
    JOIN of_constants USING ("group", level)
    GROUP BY "group"
)
SELECT
    "group",
    count(*) AS n_rows,
    avg(label ORDER BY label) AS mean_label,
    avg(prediction ORDER BY prediction) AS mean_prediction,
    any_value(pinball) AS pinball,
    any_value(pinball_of_constants) AS pinball_of_constants,
    avg(abs(prediction - label) ORDER BY abs(prediction - label)) AS mae,
    avg((label BETWEEN quantiles[1] AND quantiles[-1])::INTEGER) AS coverage,
    list_max({levels}) - list_min({levels}) AS coverage_stated,
    abs(coverage - coverage_stated) AS coverage_error,
    avg(quantiles[-1] - quantiles[1] ORDER BY quantiles[-1] - quantiles[1]) AS width,
    any_value(calibration_error) AS calibration_error
FROM scored
JOIN of_levels USING ("group")
GROUP BY "group"
ORDER BY n_rows DESC, "group"
