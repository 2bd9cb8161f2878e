-- Delete the files in the lake's data that no commit refers to. Those that wait to be deleted are none of them.
-- With `dry_run` they are only named.
CALL ducklake_delete_orphaned_files('lake', cleanup_all => true, dry_run => {dry_run})
