-- The data files of one table of the lake's newest state, by name, with the pages that each spans. Parameters: schema,
-- table. The catalogue's own tables are read, since DuckLake's functions do not give a file's statistics.
SELECT files.data_file_id, files.path, statistics.min_value::TIMESTAMP, statistics.max_value::TIMESTAMP
FROM __ducklake_metadata_lake.ducklake_data_file AS files
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
JOIN __ducklake_metadata_lake.ducklake_column AS columns
    ON columns.table_id = files.table_id AND columns.column_name = 'as_of' AND columns.end_snapshot IS NULL
JOIN __ducklake_metadata_lake.ducklake_file_column_stats AS statistics
    ON statistics.data_file_id = files.data_file_id AND statistics.column_id = columns.column_id
WHERE
    schemas.schema_name = $1 AND tables.table_name = $2
    AND files.end_snapshot IS NULL AND tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
