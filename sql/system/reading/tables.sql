-- Every table of the lake, views left out.
SELECT schema_name, table_name
FROM duckdb_tables()
WHERE database_name = 'lake'
ORDER BY ALL
