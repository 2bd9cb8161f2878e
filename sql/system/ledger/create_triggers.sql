-- Whether a product was to be trained again, as of each instant at which that was asked, and what became of trainings.
CREATE TABLE IF NOT EXISTS ledger.triggers (
    trigger_id VARCHAR, product VARCHAR, job VARCHAR, known_by TIMESTAMP, tick TIMESTAMP, answer VARCHAR, reason VARCHAR,
    fired VARCHAR[], alarms VARCHAR[], needs VARCHAR[], figures MAP(VARCHAR, DOUBLE), rules VARCHAR, version VARCHAR,
    run_id VARCHAR, snapshot_id BIGINT
)
