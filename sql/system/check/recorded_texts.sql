-- The texts that the ledger has of definitions, the newest last, of what writes pages now: of the newest page of each
-- product, and of the versions that were made live.
SELECT files
FROM ledger.definitions
WHERE (definitions, product) IN (
    SELECT (arg_max(definitions, (as_of, snapshot_id)), product)
    FROM ledger.pages
    WHERE state = 'published' AND kind IN ('features', 'predictions')
    GROUP BY product, kind
    UNION ALL
    SELECT (arg_max(models.definitions, promotions.promoted_at), models.product)
    FROM ledger.models AS models
    JOIN ledger.promotions AS promotions USING (product, version)
    GROUP BY models.product
)
ORDER BY recorded_at
