-- The role by which authors' queries read a catalogue in PostgreSQL: it logs in, and may SELECT what DuckLake keeps in
-- the schema `public`, now and later; nothing in the schema `almanac`. Run by PostgreSQL; running it again mends it.
DO $make$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_as_text}) THEN
        CREATE ROLE {role};
    END IF;
END $make$;

ALTER ROLE {role} LOGIN NOINHERIT PASSWORD {verifier};

ALTER ROLE {role} SET default_transaction_read_only = on;

-- What everybody may do in a database by default (tables of its own in `public` before PostgreSQL 15, temporary ones in
-- any) would be more than reading. Where the database is somebody else's, this is a warning and changes nothing.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;

GRANT CONNECT ON DATABASE {database} TO {role};

GRANT USAGE ON SCHEMA public TO {role};

GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};

-- DuckLake makes a table of small rows with each table of the lake.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role};
