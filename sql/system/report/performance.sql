-- The newest judgement of each whole page of a range. Parameters: product, first, until.
SELECT *
FROM ledger.newest_performance
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND segment IS NULL
ORDER BY as_of, model_version
