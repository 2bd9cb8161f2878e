-- Files that could not be read, each with the reason and since when. A row goes when its file is taken in; one that
-- `almanac ingest --forget` named stays, with `forgotten_at`, so that the file is not tried again.
CREATE TABLE IF NOT EXISTS rejects.files (
    source VARCHAR, path VARCHAR, sha256 VARCHAR, bytes BIGINT, reason VARCHAR, definition VARCHAR,
    since TIMESTAMP, run_id VARCHAR, forgotten_at TIMESTAMP
)
