-- The publications of a product's pages of one kind after a snapshot, in their order.
-- Parameters: product, kind, snapshot.
SELECT {columns}
FROM ledger.pages
WHERE product = $1 AND kind = $2 AND state = 'published' AND snapshot_id > $3
ORDER BY snapshot_id, as_of
