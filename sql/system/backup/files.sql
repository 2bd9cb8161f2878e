-- The files that a catalogue names, of every snapshot that can still be read, as paths below the lake's data. Run by
-- SQLite on a copy of the catalogue. A path that is not relative to its table's would lie outside of the lake.
SELECT DISTINCT
    schemas.path || tables.path || files.path AS path,
    files.path_is_relative AND tables.path_is_relative AND schemas.path_is_relative AS is_ours
FROM (
    SELECT table_id, path, path_is_relative FROM ducklake_data_file
    UNION ALL
    SELECT table_id, path, path_is_relative FROM ducklake_delete_file
) AS files
JOIN ducklake_table AS tables USING (table_id)
JOIN ducklake_schema AS schemas USING (schema_id)
ORDER BY path
