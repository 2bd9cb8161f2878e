-- The newest attempt at each page of a range that was tried. Parameters: product, first and last as_of.
SELECT as_of, state, n_rows, model_version, recorded_at, note
FROM ledger.pages
WHERE product = $1 AND kind = 'predictions' AND as_of BETWEEN $2 AND $3
QUALIFY row_number() OVER (PARTITION BY as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
ORDER BY as_of
