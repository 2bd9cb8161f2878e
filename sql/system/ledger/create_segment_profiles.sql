-- Profiles of the segments of published pages (`monitor.segments`): how the values of each column are spread over the rows
-- with one value of another column, in bins four times as wide as those of `ledger.profiles`. A row without a
-- `column_name` says that a page was cut by a column, and how many of its rows are in no segment with a profile.
CREATE TABLE IF NOT EXISTS ledger.segment_profiles (
    product VARCHAR, kind VARCHAR, as_of TIMESTAMP, segment VARCHAR, column_name VARCHAR, scale VARCHAR, run_id VARCHAR,
    model_version VARCHAR, n_rows BIGINT, n_missing BIGINT, centre DOUBLE, bins BIGINT[], top_values VARCHAR[],
    counts BIGINT[], n_other BIGINT
)
