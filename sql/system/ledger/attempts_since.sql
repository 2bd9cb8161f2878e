-- What became of pages of one product and kind after a snapshot, the newest attempt of each last.
-- Parameters: product, kind, snapshot.
SELECT {columns}
FROM ledger.pages
WHERE product = $1 AND kind = $2 AND snapshot_id > $3
ORDER BY snapshot_id, recorded_at
