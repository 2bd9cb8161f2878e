-- All erasures, the oldest first.
SELECT {columns}
FROM ledger.erasures
ORDER BY erased_at, erasure_id
