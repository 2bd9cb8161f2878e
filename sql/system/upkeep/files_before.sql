-- The files of a table that were written up to a snapshot. No two files of a lake bear one name.
-- Parameters: table, schema, snapshot.
SELECT listed.data_file
FROM ducklake_list_files('lake', $1, schema => $2) AS listed
JOIN __ducklake_metadata_lake.ducklake_data_file AS files
    ON parse_filename(files.path) = parse_filename(listed.data_file)
WHERE files.begin_snapshot <= $3
ORDER BY ALL
