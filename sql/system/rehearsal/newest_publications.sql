-- The publications of each page of a product: the newest, with when it was recorded, and the newest before an instant.
-- Parameters: the product, and the instant.
SELECT kind, as_of, max(snapshot_id), max_by(recorded_at, snapshot_id), max(snapshot_id) FILTER (recorded_at < $2)
FROM ledger.pages
WHERE product = $1 AND state = 'published'
GROUP BY kind, as_of
ORDER BY kind, as_of
