-- The newest publication of each page of one product and kind, in a stretch of time if one is named.
-- Parameters: product, kind, and the first and the last page of the stretch (both included).
-- As the view ledger.published_pages, but for what DuckLake does for each column that is compared by itself: it reads
-- its statistics of files. Kind and state skip no file, and are compared together.
SELECT {columns}
FROM (
    SELECT *
    FROM ledger.pages
    WHERE product = $1 AND kind || ' ' || state IN ($2 || ' published', $2 || ' lost') {stretch}
    QUALIFY row_number() OVER (PARTITION BY as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
WHERE state = 'published'
ORDER BY as_of
