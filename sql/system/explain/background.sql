-- Rows of feature pages as a background, in the order of page and keys; of more than so many, as many, evenly spaced.
-- Parameters: since, until (excluded), the largest number of rows.
SELECT {columns}
FROM (
    SELECT
        {columns},
        row_number() OVER (ORDER BY as_of, {keys}) - 1 AS "almanac: place",
        count(*) OVER () AS "almanac: rows"
    FROM features.{table}
    WHERE as_of >= $1 AND as_of < $2
)
WHERE "almanac: place" = 0
    OR "almanac: place" * $3 // "almanac: rows" <> ("almanac: place" - 1) * $3 // "almanac: rows"
ORDER BY "almanac: place"
