-- Columns whose statistics say that they have no NULLs, though a file of their table lacks them or has some:
-- schema, table, column. Files that only older snapshots show count too, since statistics hold for every snapshot.
WITH files AS (
    SELECT table_id, count(*) AS n_files
    FROM __ducklake_metadata_lake.ducklake_data_file
    GROUP BY ALL
),

with_values AS (
    SELECT table_id, column_id, count(*) AS n_files
    FROM __ducklake_metadata_lake.ducklake_file_column_stats
    WHERE null_count = 0
    GROUP BY ALL
)

SELECT schemas.schema_name, tables.table_name, columns.column_name
FROM __ducklake_metadata_lake.ducklake_table_column_stats AS statistics
JOIN __ducklake_metadata_lake.ducklake_column AS columns USING (table_id, column_id)
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
JOIN files USING (table_id)
LEFT JOIN with_values USING (table_id, column_id)
WHERE NOT statistics.contains_null
  AND coalesce(with_values.n_files, 0) < files.n_files
  AND columns.end_snapshot IS NULL
  AND columns.parent_column IS NULL
  AND columns.column_type NOT IN ('list', 'struct', 'map')  -- of these, only the parts have statistics
  AND tables.end_snapshot IS NULL
  AND schemas.end_snapshot IS NULL
ORDER BY ALL
