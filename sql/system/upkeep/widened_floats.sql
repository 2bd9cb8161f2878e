-- Columns of DOUBLE that were FLOAT before: schema, table, column, and the snapshot from which on they are DOUBLE.
SELECT schemas.schema_name, tables.table_name, columns.column_name, max(earlier.end_snapshot)
FROM __ducklake_metadata_lake.ducklake_column AS columns
JOIN __ducklake_metadata_lake.ducklake_column AS earlier USING (table_id, column_id)
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
WHERE columns.column_type = 'float64'
  AND earlier.column_type = 'float32'
  AND columns.end_snapshot IS NULL
  AND tables.end_snapshot IS NULL
  AND schemas.end_snapshot IS NULL
GROUP BY ALL
ORDER BY ALL
