-- Predictions beside baselines that a model has to beat, all on the same labelled rows.
WITH labelled AS (
    -- The labels of the training period: those of its pages that had matured by the cut-off. Like label.sql.
    SELECT features.as_of, customer_id, features.purchases_26w, features.days_since_last, {outcome} AS label
    FROM features.{product} AS features
    LEFT JOIN (
        SELECT pages.as_of, customer_id, sum(dollars) AS dollars
        FROM (SELECT DISTINCT as_of FROM features.{product}) AS pages
        JOIN sources.purchases ON bought_on >= pages.as_of::DATE AND bought_on < pages.as_of::DATE + 84
        GROUP BY ALL
    ) AS spent USING (as_of, customer_id)
    WHERE as_of + INTERVAL 84 DAY <= $mature
),

alike AS (
    SELECT least(purchases_26w, 6) AS often, days_since_last // 28 AS weeks_ago, avg(label) AS alike
    FROM labelled
    GROUP BY ALL
)

SELECT
    labels.label,
    predictions.{score} AS score,
    alike.alike,
    (SELECT avg(label) FROM labelled) AS mean,
    coalesce(features.dollars_12w, 0) AS last
FROM predictions.{product} AS predictions
JOIN labels.{product} AS labels USING (as_of, customer_id)
JOIN features.{product} AS features USING (as_of, customer_id)
JOIN alike ON often = least(features.purchases_26w, 6) AND weeks_ago = features.days_since_last // 28
WHERE as_of >= $first AND as_of < $until
ORDER BY as_of, customer_id
