-- Delete the files in the lake's data that no commit refers to and that are older than an instant. Where several hosts
-- write, somebody who lost the writer lock without knowing may be at this: a file that has just come is left alone.
-- With `dry_run` they are only named.
CALL ducklake_delete_orphaned_files('lake', older_than => TIMESTAMPTZ '{instant}+00', dry_run => {dry_run})
