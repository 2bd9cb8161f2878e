-- How far a page differs from those before it: one row per page, column, segment and reference. `column_name` is NULL for
-- the page as a whole. A later row of the same page, column, segment and reference takes the place of an earlier one.
CREATE TABLE IF NOT EXISTS ledger.drift (
    product VARCHAR, kind VARCHAR, as_of TIMESTAMP, column_name VARCHAR, segment VARCHAR, reference VARCHAR,
    run_id VARCHAR, known_by TIMESTAMP, snapshot_id BIGINT, state VARCHAR, n_rows BIGINT, n_reference BIGINT, psi DOUBLE,
    js DOUBLE, w1 DOUBLE, ks DOUBLE, missing_delta DOUBLE, new_share DOUBLE, out_of_range_share DOUBLE, score DOUBLE,
    slow_score DOUBLE, p DOUBLE, e DOUBLE, evidence DOUBLE, weight DOUBLE, flags VARCHAR[], alarm VARCHAR
);

-- Alarms: each row is what became of one, and the newest row says how it stands.
CREATE TABLE IF NOT EXISTS ledger.alarms (
    alarm_id VARCHAR, product VARCHAR, kind VARCHAR, state VARCHAR, first_page TIMESTAMP, last_page TIMESTAMP,
    since TIMESTAMP, expected VARCHAR, columns VARCHAR[], flags VARCHAR[], evidence DOUBLE, bound DOUBLE, effect DOUBLE,
    message VARCHAR, known_by TIMESTAMP, decided_by VARCHAR, reason VARCHAR, run_id VARCHAR, snapshot_id BIGINT
);

-- What was judged last of each page, column, segment and reference.
CREATE VIEW IF NOT EXISTS ledger.newest_drift AS
SELECT *
FROM ledger.drift
QUALIFY row_number() OVER (
    PARTITION BY product, kind, as_of, column_name, segment, reference ORDER BY snapshot_id DESC
) = 1;

-- How each alarm stands.
CREATE VIEW IF NOT EXISTS ledger.newest_alarms AS
SELECT *
FROM ledger.alarms
QUALIFY row_number() OVER (PARTITION BY product, alarm_id ORDER BY snapshot_id DESC) = 1;
