-- The drift of each page of a range as a whole. Parameters: product, first, until.
SELECT as_of, kind, evidence, alarm
FROM ledger.newest_drift
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND column_name IS NULL AND segment IS NULL
ORDER BY kind, as_of
