-- The newest publication of each page of one product and some kinds, in a stretch of time if one is named.
-- Parameters: product, the kinds, each with the states published and lost ('features lost'), and the first and the last
-- page of the stretch (both included).
-- As the view ledger.published_pages, but for what DuckLake does for each column that is compared by itself: it reads
-- its statistics of files. Kind and state skip no file, and are compared together.
SELECT {columns}
FROM (
    SELECT *
    FROM ledger.pages
    WHERE product = $1 AND list_contains($2, kind || ' ' || state) {stretch}
    QUALIFY row_number() OVER (PARTITION BY kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
WHERE state = 'published'
ORDER BY as_of
