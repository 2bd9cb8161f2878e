-- What came of each page: loss, what its predictions expected, and the evidence. Parameters: product, first and last.
SELECT
    as_of, model_version, n_rows, n_labelled, is_mature, loss, expected_loss, excess, estimate, estimate_low,
    estimate_high, evidence, bound, calibration_slope, slope_low, slope_high, alarm
FROM ledger.newest_performance
WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND segment IS NULL
QUALIFY row_number() OVER (PARTITION BY as_of ORDER BY snapshot_id DESC) = 1
ORDER BY as_of
