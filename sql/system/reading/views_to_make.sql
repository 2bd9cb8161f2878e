-- Of the views that should be there, those that are not, or that select something else. DuckDB keeps a view's query
-- parsed and put into words again, and so compares it here. Parameters: schema, names, queries in the same order.
SELECT wanted.view_name
FROM (
    SELECT unnest($2::VARCHAR[]) AS view_name, unnest($3::VARCHAR[]) AS query
) AS wanted
LEFT JOIN (
    SELECT view_name, regexp_extract(sql, '^CREATE VIEW .*? AS (.*);$', 1, 's') AS query
    FROM duckdb_views()
    WHERE database_name = 'lake' AND schema_name = $1
) AS present USING (view_name)
WHERE present.query IS DISTINCT FROM json_deserialize_sql(json_serialize_sql(wanted.query))
