-- Which publications a target is to hold, written in the commits that publish them. `state` is `waiting`, or `not due`
-- where what the target holds is the same with it as without it.
CREATE TABLE IF NOT EXISTS ledger.outbox (
    product VARCHAR, target VARCHAR, as_of TIMESTAMP, snapshot_id BIGINT, state VARCHAR, run_id VARCHAR,
    recorded_at TIMESTAMP
);

-- What became of them: `exported`, `superseded` by a newer publication that went out, or `failed`, which is written
-- once for each reason. What has failed goes on waiting.
CREATE TABLE IF NOT EXISTS ledger.exports (
    product VARCHAR, target VARCHAR, as_of TIMESTAMP, snapshot_id BIGINT, state VARCHAR, place VARCHAR, n_rows BIGINT,
    run_id VARCHAR, recorded_at TIMESTAMP, note VARCHAR
)
