-- Of each quantile, what it states and the share of labels up to it.
WITH exploded AS (
    SELECT label::DOUBLE AS label, unnest({levels}) AS quantile, unnest({quantiles}) AS said
    FROM {rows}
)
SELECT
    quantile,
    count(*) AS n_rows,
    quantile AS predicted,
    avg((label <= said)::INTEGER) AS observed,
    avg(greatest(quantile * (label - said), (quantile - 1) * (label - said)) ORDER BY label, said) AS pinball
FROM exploded
GROUP BY quantile
ORDER BY quantile
