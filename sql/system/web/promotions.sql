-- Which version was made live for the pages from when on, the newest first. Parameter: product.
SELECT effective_from, version, promoted_at, promoted_by, reason
FROM ledger.promotions
WHERE product = $1
ORDER BY effective_from DESC, coalesce(snapshot_id, 0) DESC, promoted_at DESC
