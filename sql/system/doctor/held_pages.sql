-- What the catalogue says of each data file of the lake's newest state: its table, and the pages that it spans (NULL
-- for facts). The catalogue's own tables are read, since DuckLake's functions do not give a file's statistics.
SELECT schemas.schema_name, tables.table_name, files.path, statistics.min_value, statistics.max_value
FROM __ducklake_metadata_lake.ducklake_data_file AS files
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
LEFT JOIN __ducklake_metadata_lake.ducklake_column AS columns
    ON columns.table_id = files.table_id AND columns.column_name = 'as_of' AND columns.end_snapshot IS NULL
LEFT JOIN __ducklake_metadata_lake.ducklake_file_column_stats AS statistics
    ON statistics.data_file_id = files.data_file_id AND statistics.column_id = columns.column_id
WHERE files.end_snapshot IS NULL AND tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
ORDER BY ALL
