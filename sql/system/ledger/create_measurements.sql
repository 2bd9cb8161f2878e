-- What was measured beside history: what fresh data is worth, and what policies came to that were lived through.
CREATE TABLE IF NOT EXISTS ledger.freshness (
    freshness_id VARCHAR, product VARCHAR, known_by TIMESTAMP, first_page TIMESTAMP, last_page TIMESTAMP, loss VARCHAR,
    n_pages BIGINT, rows_a_year DOUBLE, cpu_s DOUBLE, measured_by VARCHAR, notes VARCHAR[], run_id VARCHAR,
    snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.freshness_figures (
    freshness_id VARCHAR, product VARCHAR, kind VARCHAR, name VARCHAR, days DOUBLE, cutoff TIMESTAMP, figure DOUBLE,
    low DOUBLE, high DOUBLE, n_rows BIGINT, n_pages BIGINT, trainings_a_year DOUBLE, cpu_s DOUBLE
);
CREATE TABLE IF NOT EXISTS ledger.rehearsals (
    rehearsal_id VARCHAR, product VARCHAR, known_by TIMESTAMP, begins TIMESTAMP, ends TIMESTAMP, metric VARCHAR,
    higher_is_better BOOLEAN, best VARCHAR, held_out_from TIMESTAMP, training_s DOUBLE, n_shared BIGINT,
    facts_in_their_time BOOLEAN, policies VARCHAR, notes VARCHAR[], kept_in VARCHAR, run_id VARCHAR, snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.rehearsed_policies (
    rehearsal_id VARCHAR, product VARCHAR, part VARCHAR, place BIGINT, policy VARCHAR, is_best BOOLEAN,
    trainings BIGINT, promoted BIGINT, cpu_s DOUBLE, n_pages BIGINT, figure DOUBLE, low DOUBLE, high DOUBLE,
    better DOUBLE, better_low DOUBLE, better_high DOUBLE, acute_alarms BIGINT, drift_alarms BIGINT,
    performance_alarms BIGINT, age_days DOUBLE, n_faulty BIGINT, n_failed BIGINT, note VARCHAR
)
