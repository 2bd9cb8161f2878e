-- What a view of the lake selects, in DuckDB's words. Parameters: schema, view.
SELECT regexp_extract(sql, '^CREATE VIEW .*? AS (.*);$', 1, 's')
FROM duckdb_views()
WHERE database_name = 'lake' AND schema_name = $1 AND view_name = $2
