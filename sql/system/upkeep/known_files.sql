-- The names of all files that the lake's catalogue refers to, whichever snapshot shows them, and of those that wait to
-- be deleted. No two files of a lake bear one name.
SELECT parse_filename(path)
FROM (
    SELECT path FROM __ducklake_metadata_lake.ducklake_data_file
    UNION ALL
    SELECT path FROM __ducklake_metadata_lake.ducklake_delete_file
    UNION ALL
    SELECT path FROM __ducklake_metadata_lake.ducklake_files_scheduled_for_deletion
)
