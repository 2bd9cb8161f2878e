-- Whether the role that asks may write anew all tables of the lake's schemas, and the server's notes on their values.
-- Run by PostgreSQL. A member of the owner may what the owner may.
SELECT
    pg_has_role(databases.datdba, 'USAGE')
    AND NOT EXISTS (
        SELECT 1
        FROM pg_class AS tables
        JOIN pg_namespace AS schemas ON schemas.oid = tables.relnamespace
        WHERE schemas.nspname IN ('public', 'almanac') AND tables.relkind IN ('r', 'p')
            AND NOT pg_has_role(tables.relowner, 'USAGE')
    )
FROM pg_database AS databases
WHERE databases.datname = current_database()
