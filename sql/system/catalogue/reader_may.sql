-- What a role may do: write, by itself or as any role that it can turn into, or not even read all of DuckLake's tables.
-- No row: there is no such role. Run by PostgreSQL, as the lake's own role.
WITH tables AS (
    SELECT c.oid, c.relnamespace = 'public'::regnamespace AS is_ducklakes
    FROM pg_class AS c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('public'::regnamespace, 'almanac'::regnamespace)
)
SELECT
    (
        SELECT bool_or(
            r.rolsuper OR r.rolcreaterole OR r.oid = current_user::regrole
            OR r.rolname IN ('pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend')
            OR has_schema_privilege(r.oid, 'public', 'CREATE') OR has_schema_privilege(r.oid, 'almanac', 'CREATE')
            OR EXISTS (
                SELECT FROM tables AS t WHERE has_table_privilege(r.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
            )
        )
        FROM pg_roles AS r
        WHERE pg_has_role(reader.oid, r.oid, 'MEMBER')
    ) AS writes,
    NOT has_schema_privilege(reader.oid, 'public', 'USAGE') OR EXISTS (
        SELECT FROM tables AS t WHERE t.is_ducklakes AND NOT has_table_privilege(reader.oid, t.oid, 'SELECT')
    ) AS lacks
FROM pg_roles AS reader
WHERE reader.rolname = %s;
