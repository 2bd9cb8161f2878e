-- The rows of one feature group for all pages of a batch, made in one pass.
INSERT INTO {target} BY NAME
SELECT as_of AS "almanac: as_of", * EXCLUDE (as_of)
FROM ({query}
)
