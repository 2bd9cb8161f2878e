-- How versions became live, or did not: rollouts, what held from which page on, each look with its figures, and what each
-- arm wrote of each page.
CREATE TABLE IF NOT EXISTS ledger.rollouts (
    rollout_id VARCHAR, product VARCHAR, versions VARCHAR[], live VARCHAR, salt VARCHAR, plan VARCHAR,
    effective_from TIMESTAMP, label_definition VARCHAR, started_at TIMESTAMP, started_by VARCHAR, reason VARCHAR,
    balance VARCHAR, run_id VARCHAR, snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.rollout_steps (
    rollout_id VARCHAR, product VARCHAR, number BIGINT, action VARCHAR, stage BIGINT, versions VARCHAR[],
    assignment VARCHAR, held BOOLEAN, effective_from TIMESTAMP, decided_at TIMESTAMP, decided_by VARCHAR, reason VARCHAR,
    version VARCHAR, page TIMESTAMP, run_id VARCHAR, snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.looks (
    rollout_id VARCHAR, product VARCHAR, as_of TIMESTAMP, arm VARCHAR, stage BIGINT, n_rows BIGINT, loss DOUBLE,
    live_loss DOUBLE, difference DOUBLE, e_worse DOUBLE, e_good DOUBLE, mean DOUBLE, low DOUBLE, high DOUBLE,
    decision VARCHAR, reason VARCHAR, known_by TIMESTAMP, figures MAP(VARCHAR, DOUBLE), run_id VARCHAR, snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.arms (
    product VARCHAR, as_of TIMESTAMP, run_id VARCHAR, rollout_id VARCHAR, step BIGINT, arm VARCHAR, n_rows BIGINT,
    n_served BIGINT, mean DOUBLE, seconds DOUBLE, snapshot_id BIGINT
)
