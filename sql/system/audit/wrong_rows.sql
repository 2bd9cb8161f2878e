-- How many rows of each page a check found wrong, and the first few of them as JSON.
SELECT as_of, count(*), min(wrong_row, {limit})
FROM (SELECT as_of, to_json(wrong)::VARCHAR AS wrong_row FROM ({query}
) AS wrong)
GROUP BY as_of
