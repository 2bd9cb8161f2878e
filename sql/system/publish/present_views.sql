-- The views on predictions, and what each selects, in DuckDB's words.
SELECT view_name, regexp_extract(sql, '^CREATE VIEW .*? AS (.*);$', 1, 's')
FROM duckdb_views()
WHERE database_name = 'lake' AND schema_name = 'predictions'
