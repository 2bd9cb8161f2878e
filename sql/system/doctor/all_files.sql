-- Every data file that a snapshot shows which can still be read, with its table and what the catalogue says of it: its
-- path below the lake's data, how many rows and bytes it has, the pages that it spans (NULL for facts), and whether the
-- newest state shows it. A file of deleted rows comes with the table that they were deleted from.
WITH files AS (
    SELECT data_file_id, table_id, path, record_count AS n_rows, file_size_bytes AS n_bytes, end_snapshot
    FROM __ducklake_metadata_lake.ducklake_data_file
    UNION ALL
    SELECT NULL, table_id, path, delete_count, file_size_bytes, end_snapshot
    FROM __ducklake_metadata_lake.ducklake_delete_file
),

-- A table that was renamed has a row for each name.
tables AS (
    SELECT table_id, max(schema_id) AS schema_id, max(path) AS path, arg_max(table_name, begin_snapshot) AS table_name
    FROM __ducklake_metadata_lake.ducklake_table
    GROUP BY table_id
),

pages AS (
    SELECT statistics.data_file_id, statistics.min_value, statistics.max_value
    FROM __ducklake_metadata_lake.ducklake_file_column_stats AS statistics
    JOIN __ducklake_metadata_lake.ducklake_column AS columns USING (table_id, column_id)
    WHERE columns.column_name = 'as_of' AND columns.end_snapshot IS NULL
)

SELECT
    schemas.schema_name,
    tables.table_name,
    schemas.path || tables.path || files.path AS path,
    files.n_rows,
    files.n_bytes,
    pages.min_value,
    pages.max_value,
    files.end_snapshot IS NULL AS is_newest,
    files.data_file_id IS NOT NULL AS is_data
FROM files
JOIN tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
LEFT JOIN pages USING (data_file_id)
ORDER BY ALL
