-- How many rows of each page a lifted check found wrong, and the first few of them as JSON, as they are given page by page:
-- without the page that lifting added.
SELECT as_of, count(*), min(wrong_row, {limit})
FROM (
    SELECT
        "almanac: as_of" AS as_of,
        to_json(struct_pack(*COLUMNS(* EXCLUDE ("almanac: as_of"))))::VARCHAR AS wrong_row
    FROM ({query}
    )
)
GROUP BY as_of
