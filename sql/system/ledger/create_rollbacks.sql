-- Which page was put back to what it had been at an earlier snapshot, by whom and why. `snapshot_id` is that of the
-- commit that did so. Made by itself, since lakes that were made before there were rollbacks lack it.
CREATE TABLE IF NOT EXISTS ledger.rollbacks (
    product VARCHAR, as_of TIMESTAMP, to_snapshot BIGINT, snapshot_id BIGINT, run_id VARCHAR,
    rolled_back_at TIMESTAMP, rolled_back_by VARCHAR, reason VARCHAR
)
