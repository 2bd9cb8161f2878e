-- What checks of changed definitions found, and which definitions went live when. `definitions` is the hash of the texts
-- of all of a suite's definitions, which is not that of a page's.
CREATE TABLE IF NOT EXISTS ledger.check_results (
    check_id VARCHAR, definitions VARCHAR, lake_snapshot BIGINT, passed BOOLEAN, failures VARCHAR[], result VARCHAR,
    checked_at TIMESTAMP, checked_by VARCHAR, git_commit VARCHAR, snapshot_id BIGINT
);
CREATE TABLE IF NOT EXISTS ledger.deployments (
    deployment BIGINT, definitions VARCHAR, deployed_at TIMESTAMP, deployed_by VARCHAR, git_commit VARCHAR,
    reason VARCHAR, forced BOOLEAN, problems VARCHAR[], check_id VARCHAR, back_to BIGINT, files MAP(VARCHAR, VARCHAR),
    snapshot_id BIGINT
)
