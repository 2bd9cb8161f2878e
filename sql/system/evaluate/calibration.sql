-- Ten equally large groups of rows by probability: what was predicted, and what came.
WITH tenths AS (
    SELECT ntile(10) OVER (ORDER BY probability, as_of, {keys}) AS tenth, probability, label
    FROM {rows}
)
SELECT tenth, count(*) AS n_rows, avg(probability ORDER BY probability) AS predicted, avg(label) AS observed
FROM tenths
GROUP BY tenth
ORDER BY tenth
