-- All versions of a product, the newest last. Parameters: product, now.
WITH live AS (
    SELECT version
    FROM ledger.promotions
    WHERE product = $1 AND effective_from <= $2
    ORDER BY effective_from DESC, coalesce(snapshot_id, 0) DESC, promoted_at DESC
    LIMIT 1
),

written AS (
    SELECT model_version AS version, count(*) AS pages_written
    FROM ledger.published_pages
    WHERE product = $1 AND kind = 'predictions'
    GROUP BY model_version
)

SELECT
    version, CASE WHEN version IN (FROM live) THEN 'live' ELSE 'not live' END AS state, label_cutoff, trained_at,
    trained_by, estimator, n_rows AS learnt_rows, coalesce(pages_written, 0) AS pages_written,
    map_from_entries(list_filter(map_entries(metrics), entry -> starts_with(entry.key, 'validation_'))) AS held_out
FROM ledger.models
LEFT JOIN written USING (version)
WHERE product = $1
ORDER BY trained_at, version
