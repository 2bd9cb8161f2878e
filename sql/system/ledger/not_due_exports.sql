-- The publications of a product that a target had no need of, in their order. Parameter: product.
SELECT {columns}
FROM ledger.outbox
WHERE product = $1 AND state = 'not due'
ORDER BY snapshot_id, as_of, target
