-- Each product with published pages: how many, the newest, and how many alarms are open. Parameter: now.
WITH pages AS (
    SELECT product, count(*) AS pages, max(as_of) AS newest_page, max(recorded_at) AS published_at
    FROM ledger.published_pages
    WHERE kind = 'predictions'
    GROUP BY product
),

live AS (
    SELECT product, version AS live
    FROM ledger.promotions
    WHERE effective_from <= $1
    QUALIFY row_number() OVER (
        PARTITION BY product ORDER BY effective_from DESC, coalesce(snapshot_id, 0) DESC, promoted_at DESC
    ) = 1
),

alarms AS (
    SELECT product, count(*) AS open_alarms
    FROM ledger.newest_alarms
    WHERE state = 'open'
    GROUP BY product
)

SELECT product, live, newest_page, published_at, coalesce(pages, 0) AS pages, coalesce(open_alarms, 0) AS open_alarms
FROM pages
FULL JOIN live USING (product)
FULL JOIN alarms USING (product)
ORDER BY product
