-- The rows of one query for one page, put beside those of the batch's other pages.
INSERT INTO {target} BY NAME
SELECT {as_of} AS "almanac: as_of", * FROM ({query}
)
