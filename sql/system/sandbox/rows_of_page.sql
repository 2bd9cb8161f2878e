-- One page's rows of a table that holds those of many.
CREATE OR REPLACE VIEW {view} AS
SELECT * EXCLUDE ("almanac: as_of")
FROM {table}
WHERE "almanac: as_of" = {as_of}
