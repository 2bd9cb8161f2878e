-- A table of one query's rows for one page.
CREATE TABLE {target} AS
SELECT {as_of} AS "almanac: as_of", * FROM ({query}
)
