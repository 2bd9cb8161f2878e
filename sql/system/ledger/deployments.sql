-- All deployments, the oldest first.
SELECT {columns}
FROM ledger.deployments
ORDER BY deployment
