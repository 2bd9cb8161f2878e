-- How many rows an author's check found wrong on one page, and the first few of them as JSON.
SELECT {as_of} AS as_of, count(*), min(wrong_row, {limit})
FROM (SELECT to_json(wrong)::VARCHAR AS wrong_row FROM ({query}
) AS wrong)
