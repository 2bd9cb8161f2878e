-- Labels of 1 by narrow bins of the log-odds of their probabilities, page by page and version by version.
WITH placed AS (
    SELECT
        as_of,
        model_version,
        label,
        greatest(least(probability, 1 - 1e-9), 1e-9) AS p,
        ln(p / (1 - p)) AS log_odds
    FROM {rows}
)
SELECT
    as_of,
    model_version,
    avg(log_odds ORDER BY log_odds) AS log_odds,
    count(*)::DOUBLE AS n_rows,
    sum(label)::DOUBLE AS ones
FROM placed
GROUP BY as_of, model_version, floor(log_odds * 20)
ORDER BY as_of, model_version, floor(any_value(log_odds) * 20)
