-- The columns of one table of the lake with their types, in order. Parameters: schema, table.
SELECT column_name, data_type
FROM duckdb_columns()
WHERE database_name = 'lake' AND schema_name = $1 AND table_name = $2
ORDER BY column_index
