-- How the predictions of a version are explained, once for each basis (groups of columns, and background): what
-- contributions are counted from, among which players, and how well they added up; or why there are none.
CREATE TABLE IF NOT EXISTS ledger.reasons (
    product VARCHAR, version VARCHAR, basis VARCHAR, settings VARCHAR, refused VARCHAR, base DOUBLE, method VARCHAR,
    players VARCHAR[], background VARCHAR, background_file VARCHAR, background_sha256 VARCHAR, background_rows BIGINT,
    n_checked BIGINT, largest_miss DOUBLE, run_id VARCHAR, written_at TIMESTAMP, snapshot_id BIGINT
);

-- Which runs wrote reasons, and what was wanted then: pages of other runs have none, or others.
CREATE TABLE IF NOT EXISTS ledger.reason_runs (
    product VARCHAR, run_id VARCHAR, wanted VARCHAR, basis VARCHAR, settings VARCHAR
)
