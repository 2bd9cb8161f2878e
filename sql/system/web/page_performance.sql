-- What came of a page, by version and segment. Parameters: product, as_of.
SELECT
    model_version, segment, segment_value, n_rows, n_labelled, maturity, loss, expected_loss, excess,
    estimate, estimate_low, estimate_high, withheld
FROM ledger.newest_performance
WHERE product = $1 AND as_of = $2
ORDER BY model_version, segment NULLS FIRST, n_rows DESC, segment_value
LIMIT 60
