-- The ledger's views, made with it and, in a lake of before there was one of them, when that is opened.

-- The newest publication of each page: what readers see.
CREATE VIEW IF NOT EXISTS ledger.published_pages AS
SELECT *
FROM ledger.pages
WHERE state = 'published'
QUALIFY row_number() OVER (PARTITION BY product, kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1;

-- What each run cost: seconds of all cores and of the wall clock, the peak of memory, rows and bytes written.
CREATE VIEW IF NOT EXISTS ledger.costs AS
SELECT
    run_id, job, product, owner, team, state, started_at, finished_at,
    cpu_s, wall_s, peak_memory_bytes, n_rows, bytes_written
FROM ledger.runs;
