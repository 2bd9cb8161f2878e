-- The products that have model versions.
SELECT DISTINCT product
FROM ledger.models
ORDER BY product
