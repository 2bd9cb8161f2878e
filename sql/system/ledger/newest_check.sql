-- The newest check of a set of definitions. Parameter: its hash.
SELECT {columns}
FROM ledger.check_results
WHERE definitions = $1
ORDER BY checked_at DESC, snapshot_id DESC
LIMIT 1
