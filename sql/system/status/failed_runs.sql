-- The last runs that failed.
SELECT run_id, job, product, finished_at, error
FROM ledger.runs
WHERE state = 'failed'
ORDER BY finished_at DESC
LIMIT 10
