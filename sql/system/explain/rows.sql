-- Rows of a published page with the features that they were scored from, in the order of their keys. Of a page of
-- more than so many rows, as many, evenly spaced. Parameter: the largest number of rows.
SELECT * EXCLUDE ("almanac: place", "almanac: rows")
FROM (
    SELECT
        {columns},
        {score} AS "almanac: score",
        row_number() OVER (ORDER BY {ordered}) - 1 AS "almanac: place",
        count(*) OVER () AS "almanac: rows"
    FROM {predictions} AS predictions
    JOIN {features} AS features USING ({keys})
    WHERE {condition}
)
WHERE "almanac: place" = 0
    OR "almanac: place" * $1 // "almanac: rows" <> ("almanac: place" - 1) * $1 // "almanac: rows"
ORDER BY "almanac: place"
