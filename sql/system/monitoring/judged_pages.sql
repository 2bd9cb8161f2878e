-- What was judged last of each page of a product as a whole. Parameter: product.
SELECT as_of, basis, n_rows, evidence, score, score_bound, len(flags) > 0, alarm
FROM ledger.newest_drift
WHERE product = $1 AND column_name IS NULL AND segment IS NULL AND reference = 'season'
