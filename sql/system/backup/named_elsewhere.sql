-- How many files a lake names that are not in its own data.
SELECT (SELECT count(*) FROM __ducklake_metadata_lake.ducklake_data_file WHERE NOT path_is_relative)
    + (SELECT count(*) FROM __ducklake_metadata_lake.ducklake_delete_file WHERE NOT path_is_relative)
    + (SELECT count(*) FROM __ducklake_metadata_lake.ducklake_files_scheduled_for_deletion WHERE NOT path_is_relative)
