-- Profiles of published pages: how the values of each column are spread, as sparse counts. A page's profile is of the
-- run that published it (`ledger.published_pages` has that run), so the profile of an earlier publication stands beside.
CREATE TABLE IF NOT EXISTS ledger.profiles (
    product VARCHAR, kind VARCHAR, as_of TIMESTAMP, column_name VARCHAR, scale VARCHAR, run_id VARCHAR,
    model_version VARCHAR, n_rows BIGINT, n_missing BIGINT, n_distinct BIGINT, values_hash VARCHAR, low DOUBLE,
    high DOUBLE, centre DOUBLE, bins BIGINT[], top_values VARCHAR[], counts BIGINT[], n_other BIGINT
);

-- What the bins of a column count from. A column keeps its centre for good: only counts from one centre can be added up.
CREATE TABLE IF NOT EXISTS ledger.profile_centres (
    product VARCHAR, kind VARCHAR, column_name VARCHAR, centre DOUBLE, run_id VARCHAR, recorded_at TIMESTAMP
)
