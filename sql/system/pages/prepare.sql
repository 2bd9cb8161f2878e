-- The table that holds one query's rows for all pages of a batch: its columns and types, and no row yet.
CREATE TABLE {target} AS
SELECT {as_of} AS "almanac: as_of", * FROM ({query}
)
LIMIT 0
