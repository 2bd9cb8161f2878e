-- Columns of which a table's statistics say that the least or greatest value is a person's: schema, table, its id, the
-- column's id and name. Parameters: the values that name them, and a regular expression of their marks.
SELECT DISTINCT schemas.schema_name, tables.table_name, table_id, column_id, columns.column_name
FROM __ducklake_metadata_lake.ducklake_table_column_stats AS statistics
JOIN __ducklake_metadata_lake.ducklake_column AS columns USING (table_id, column_id)
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
WHERE tables.end_snapshot IS NULL
  AND columns.end_snapshot IS NULL
  AND columns.parent_column IS NULL
  AND schemas.schema_name IN ('sources', 'rejects', 'features', 'labels', 'predictions', 'ledger')
  AND (
    list_contains($1, statistics.min_value)
    OR list_contains($1, statistics.max_value)
    OR regexp_matches(statistics.min_value, $2)
    OR regexp_matches(statistics.max_value, $2)
  )
