-- The last runs that failed.
SELECT finished_at, job, product, run_id, error
FROM ledger.runs
WHERE state = 'failed'
ORDER BY finished_at DESC, run_id
LIMIT 10
