-- The files of a table of whose rows at least a share was deleted, and not all. No two files of a
-- lake bear one name. Parameters: table, schema, the share.
SELECT listed.data_file
FROM ducklake_list_files('lake', $1, schema => $2) AS listed
JOIN __ducklake_metadata_lake.ducklake_data_file AS files
    ON parse_filename(files.path) = parse_filename(listed.data_file)
JOIN __ducklake_metadata_lake.ducklake_delete_file AS deletes USING (data_file_id)
WHERE deletes.end_snapshot IS NULL
  AND deletes.delete_count >= $3 * files.record_count
  AND deletes.delete_count < files.record_count
ORDER BY ALL
