-- How predictions of groups of entities compare, over the newest matured pages of a version: one row for each metric and
-- group, and (without a group) for how far the groups lie apart.
CREATE TABLE IF NOT EXISTS ledger.fairness (
    product VARCHAR, model_version VARCHAR, by_columns VARCHAR, group_values VARCHAR, metric VARCHAR, statistic VARCHAR,
    figure DOUBLE, low DOUBLE, high DOUBLE, n_rows BIGINT, n_pages BIGINT, first_page TIMESTAMP, last_page TIMESTAMP,
    known_by TIMESTAMP, run_id VARCHAR, snapshot_id BIGINT
)
