-- Which persons were erased. Who that was is not told: a tombstone is a keyed hash (HMAC-SHA-256 under ALMANAC_ERASE_KEY).
CREATE TABLE IF NOT EXISTS ledger.erasures (
    erasure_id VARCHAR, subject VARCHAR, tombstones VARCHAR[], key_check VARCHAR, erased_at TIMESTAMP, erased_by VARCHAR,
    reason VARCHAR, n_facts BIGINT, n_rows BIGINT, n_pages BIGINT, run_id VARCHAR, snapshot_id BIGINT
)
