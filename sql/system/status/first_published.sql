-- When each page of predictions was published first. Parameters: product, first and last as_of.
SELECT as_of, min(recorded_at)
FROM ledger.pages
WHERE product = $1 AND kind = 'predictions' AND state = 'published' AND as_of BETWEEN $2 AND $3
GROUP BY as_of
