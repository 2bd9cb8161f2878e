-- How published predictions did, page by page: one row for each version, segment and instant of judging. The newest
-- judgement of a page supersedes those before it.
CREATE TABLE IF NOT EXISTS ledger.performance (
    product VARCHAR, as_of TIMESTAMP, model_version VARCHAR, segment VARCHAR, segment_value VARCHAR, known_by TIMESTAMP,
    run_id VARCHAR, page_run_id VARCHAR, labels_run_id VARCHAR, n_rows BIGINT, n_labelled BIGINT, maturity DOUBLE,
    is_mature BOOLEAN, metrics MAP(VARCHAR, DOUBLE), expected MAP(VARCHAR, DOUBLE), loss DOUBLE, expected_loss DOUBLE,
    excess DOUBLE, calibration_slope DOUBLE, slope_low DOUBLE, slope_high DOUBLE, calibration_intercept DOUBLE,
    intercept_low DOUBLE, intercept_high DOUBLE, margin DOUBLE, bound DOUBLE, evidence DOUBLE, without_largest DOUBLE,
    without_three DOUBLE, largest_share DOUBLE, alarm BOOLEAN, alarm_open BOOLEAN, estimate DOUBLE, estimate_low DOUBLE,
    estimate_high DOUBLE, withheld VARCHAR, snapshot_id BIGINT
);

-- The newest judgement of each page, version and segment.
CREATE VIEW IF NOT EXISTS ledger.newest_performance AS
SELECT *
FROM ledger.performance
QUALIFY row_number() OVER (
    PARTITION BY product, as_of, model_version, segment, segment_value ORDER BY snapshot_id DESC
) = 1
