-- How a column of each page lay beside its reference. Parameters: product, kind, column, first and last as_of.
SELECT as_of, state, psi, js, ks, missing_delta, new_share, out_of_range_share, evidence, flags, alarm
FROM ledger.newest_drift
WHERE product = $1 AND kind = $2 AND column_name = $3 AND as_of BETWEEN $4 AND $5 AND segment IS NULL
QUALIFY row_number() OVER (PARTITION BY as_of ORDER BY reference <> 'season', snapshot_id DESC) = 1
ORDER BY as_of
