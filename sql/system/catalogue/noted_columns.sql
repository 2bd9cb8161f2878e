-- Columns of the lake's tables of whose values the server has noted anything: schema, table, column, and its type as it
-- was declared. Run by PostgreSQL.
SELECT
    schemas.nspname,
    tables.relname,
    columns.attname,
    format_type(columns.atttypid, columns.atttypmod)
        || CASE WHEN collations.collname <> 'default' THEN ' COLLATE ' || quote_ident(collations.collname) ELSE '' END
FROM pg_stats AS noted
JOIN pg_namespace AS schemas ON schemas.nspname = noted.schemaname
JOIN pg_class AS tables ON tables.relnamespace = schemas.oid AND tables.relname = noted.tablename
JOIN pg_attribute AS columns ON columns.attrelid = tables.oid AND columns.attname = noted.attname
LEFT JOIN pg_collation AS collations ON collations.oid = columns.attcollation
WHERE noted.schemaname IN ('public', 'almanac') AND tables.relkind = 'r'
ORDER BY 1, 2, columns.attnum
