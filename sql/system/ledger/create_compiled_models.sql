-- Compiled files that were written after their version was registered, at a later scoring: where each lies, what it
-- hashes to, and how many rows it was compared on. Files that were registered with their version are in its manifest.
CREATE TABLE IF NOT EXISTS ledger.compiled_models (
    product VARCHAR, version VARCHAR, file VARCHAR, sha256 VARCHAR, format BIGINT, n_rows BIGINT,
    run_id VARCHAR, written_at TIMESTAMP, snapshot_id BIGINT
)
