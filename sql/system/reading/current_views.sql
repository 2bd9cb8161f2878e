-- The views on what is current of sources.
SELECT view_name
FROM duckdb_views()
WHERE database_name = 'lake' AND schema_name = 'sources'
