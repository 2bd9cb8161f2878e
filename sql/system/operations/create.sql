-- Operational state, in SQLite (lake/operations.sqlite): who is at work on what, what was due and what became of it.
-- Small and busy, and so not in the lake, which a commit a minute would bloat. All times are naive UTC, as ISO 8601
-- text.

-- Which process is at work on which page. A row counts for as long as its owner lives, that is, for as long as some
-- process holds the lock of lake/owners/OWNER.lock.
CREATE TABLE claims (
    product TEXT NOT NULL,
    page TEXT NOT NULL,      -- the as_of
    owner TEXT NOT NULL,
    claimed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (product, page)
) WITHOUT ROWID;

-- Every job that was ever in schedules.yaml. `job_id` is its identity, which a rename (`was:`) does not change.
-- `trigger` is the rule that has been in force, and its ticks up to `seen_until` are in the table of ticks.
CREATE TABLE jobs (
    job_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    trigger TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    seen_until TEXT NOT NULL,
    removed_at TEXT
);
CREATE UNIQUE INDEX jobs_by_name ON jobs (name) WHERE removed_at IS NULL;

-- One row for each attempt: a child process. `lease` names the owner that lives as long as anything of it does.
CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs,
    job TEXT NOT NULL,
    work TEXT NOT NULL,
    product TEXT,
    pool TEXT NOT NULL,
    owner TEXT,
    team TEXT,
    lease TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    result TEXT CHECK (result IN ('succeeded', 'failed', 'abandoned', 'interrupted')),
    reason TEXT,
    cpu_s REAL,
    wall_s REAL,
    peak_memory_bytes INTEGER,
    CHECK ((finished_at IS NULL) = (result IS NULL))
);
CREATE INDEX runs_open ON runs (run) WHERE result IS NULL;
-- One run of a job at a time, and one writer of a product's pages at a time.
CREATE UNIQUE INDEX one_run_of_a_job ON runs (job_id) WHERE result IS NULL;
CREATE UNIQUE INDEX one_run_of_a_product ON runs (product) WHERE result IS NULL AND product IS NOT NULL;

-- One row for each tick, and in it at most one outcome. `covered_by` is the tick that does a coalesced one's work.
CREATE TABLE ticks (
    job_id INTEGER NOT NULL REFERENCES jobs,
    at TEXT NOT NULL,
    page TEXT,
    seen_at TEXT NOT NULL,
    missed INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    abandoned INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    run INTEGER REFERENCES runs,
    last_run INTEGER REFERENCES runs,
    outcome TEXT CHECK (outcome IN ('ran', 'caught up', 'coalesced', 'skipped', 'failed')),
    reason TEXT,
    covered_by TEXT,
    settled_at TEXT,
    PRIMARY KEY (job_id, at),
    CHECK (outcome IS NULL OR run IS NULL),
    CHECK ((outcome IS NULL) = (settled_at IS NULL)),
    CHECK ((covered_by IS NOT NULL) = (outcome IS 'coalesced'))
) WITHOUT ROWID;
CREATE INDEX ticks_open ON ticks (job_id, at) WHERE outcome IS NULL;
CREATE INDEX ticks_by_run ON ticks (run, at) WHERE run IS NOT NULL;

-- Every pause, who made it and ended it, and why.
CREATE TABLE pauses (
    job_id INTEGER NOT NULL REFERENCES jobs,
    paused_at TEXT NOT NULL,
    paused_by TEXT NOT NULL,
    why TEXT NOT NULL,
    resumed_at TEXT,
    resumed_by TEXT,
    resumed_why TEXT
);
CREATE UNIQUE INDEX one_pause_of_a_job ON pauses (job_id) WHERE resumed_at IS NULL;

-- Alerts on their way out. `what` makes each of them happen once, whoever notices.
CREATE TABLE alerts (
    what TEXT PRIMARY KEY,
    raised_at TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    channels TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'raised' CHECK (state IN ('raised', 'sent', 'given up')),
    tries INTEGER NOT NULL DEFAULT 0,
    next_try TEXT
);
CREATE INDEX alerts_to_send ON alerts (what) WHERE state = 'raised';

-- The products whose newest page is older than they state, and since when that is known.
CREATE TABLE stale_products (product TEXT PRIMARY KEY, since TEXT NOT NULL);

-- Single facts: the last schedules.yaml that was right, the host that runs the jobs.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
