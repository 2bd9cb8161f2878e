-- A query bound over empty tables: its columns, their types, and no row.
CREATE TABLE {target} AS
SELECT * FROM ({query}
)
LIMIT 0
