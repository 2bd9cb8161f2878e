-- The last ingestions of its sources that a page was made from. Parameters: the page's ingest_id.
SELECT source, ingest_id, ingested_at, rows_new, rows_restated, rows_withdrawn, rows_rejected, max_known_at
FROM ledger.ingestions
WHERE ingest_id <= $1 AND source IN ({sources})
QUALIFY row_number() OVER (PARTITION BY source ORDER BY ingest_id DESC) = 1
ORDER BY source
