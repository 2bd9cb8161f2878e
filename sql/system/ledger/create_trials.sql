-- What searches for a better model have tried: each try on each rung, with what it cost and how it did.
CREATE TABLE IF NOT EXISTS ledger.trials (
    search_id VARCHAR, product VARCHAR, trial BIGINT, rung BIGINT, state VARCHAR, estimator VARCHAR, parameters VARCHAR,
    pipeline VARCHAR, without VARCHAR, first_page TIMESTAMP, cutoff TIMESTAMP, known_by TIMESTAMP, n_pages BIGINT,
    n_rows BIGINT, n_judged BIGINT, loss DOUBLE, cpu_s DOUBLE, page_seconds DOUBLE, reason VARCHAR, run_id VARCHAR,
    snapshot_id BIGINT
)
