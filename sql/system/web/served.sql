-- Which version wrote the published pages, in stretches, the newest first. Parameter: product.
WITH pages AS (
    SELECT as_of, model_version, lag(model_version) OVER (ORDER BY as_of) IS DISTINCT FROM model_version AS begins
    FROM ledger.published_pages
    WHERE product = $1 AND kind = 'predictions'
),

stretches AS (
    SELECT *, sum(begins::INTEGER) OVER (ORDER BY as_of) AS stretch
    FROM pages
)

SELECT min(as_of) AS first_page, max(as_of) AS last_page, any_value(model_version) AS version, count(*) AS pages
FROM stretches
GROUP BY stretch
ORDER BY first_page DESC
