-- Products that the ledger has pages or versions of, each with whether a person removed it since the last of them.
WITH known AS (
    SELECT product, max(since) AS newest
    FROM (SELECT product, recorded_at AS since FROM ledger.pages UNION ALL SELECT product, trained_at FROM ledger.models)
    GROUP BY product
)

SELECT
    known.product,
    EXISTS (
        FROM ledger.decisions
        WHERE decisions.product = known.product AND action = 'remove the product' AND decided_at >= known.newest
    ) AS is_removed
FROM known
ORDER BY ALL
