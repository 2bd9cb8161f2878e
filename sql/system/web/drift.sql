-- The evidence of slow drift of each page as a whole. Parameters: product, kind, first and last as_of.
SELECT as_of, kind, evidence, alarm
FROM ledger.newest_drift
WHERE product = $1 AND kind = $2 AND as_of BETWEEN $3 AND $4 AND column_name IS NULL
    AND segment IS NULL AND reference = 'season'
ORDER BY as_of
