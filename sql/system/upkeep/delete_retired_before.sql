-- Delete the files that have waited since before a day, given as the last instant of the day before.
-- DuckLake 1.0 compares the instants as text, of which only the days are alike in form (`2026-03-10 18:00` sorts before
-- `2026-03-10T06:00`): so nothing finer than a day can be asked for.
-- With `dry_run` they are only named.
CALL ducklake_cleanup_old_files('lake', older_than => TIMESTAMPTZ '{instant}+00', dry_run => {dry_run})
