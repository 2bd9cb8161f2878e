-- How many rows of each class were taken for each.
SELECT label AS class, prediction AS taken_for, count(*) AS n_rows
FROM {rows}
GROUP BY label, prediction
ORDER BY label, n_rows DESC, prediction
