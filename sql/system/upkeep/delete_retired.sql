-- Delete the files that wait for it.
-- With `dry_run` they are only named.
CALL ducklake_cleanup_old_files('lake', cleanup_all => true, dry_run => {dry_run})
