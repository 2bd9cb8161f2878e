-- What stands in PostgreSQL under the name of a target's table, if anything does.
SELECT
    tables.oid::bigint AS oid, tables.relkind::text AS kind,
    tables.relrowsecurity OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = tables.oid) AS is_bound
FROM pg_class AS tables
INNER JOIN pg_namespace AS schemas ON tables.relnamespace = schemas.oid
WHERE schemas.nspname = {schema} AND tables.relname = {table}
