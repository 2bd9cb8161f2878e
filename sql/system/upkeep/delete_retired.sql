-- Delete the files that wait for it.
CALL ducklake_cleanup_old_files('lake', cleanup_all => true)
