-- Which process is at work on which page, in SQLite (lake/leases.sqlite). A row counts for as long as its owner
-- lives, that is, holds the lock of lake/owners/OWNER.lock.
CREATE TABLE IF NOT EXISTS claims (
    product TEXT NOT NULL,
    page TEXT NOT NULL,      -- the as_of, naive UTC, ISO 8601
    owner TEXT NOT NULL,
    claimed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (product, page)
) WITHOUT ROWID
