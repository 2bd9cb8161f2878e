-- Every publication of one page, the oldest first. Parameters: product, kind, as_of.
SELECT {columns}
FROM ledger.pages
WHERE product = $1 AND kind = $2 AND as_of = $3 AND state = 'published'
ORDER BY snapshot_id, recorded_at
