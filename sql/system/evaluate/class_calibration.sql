-- Of each class, ten equally large groups of rows by its probability: what was predicted, and what came.
WITH exploded AS (
    SELECT as_of, {keys}, label, unnest({classes}) AS class, coalesce(unnest({probabilities}), 0) AS probability
    FROM {rows}
),
tenths AS (
    SELECT *, ntile(10) OVER (PARTITION BY class ORDER BY probability, as_of, {keys}) AS tenth
    FROM exploded
)
SELECT
    class,
    tenth,
    count(*) AS n_rows,
    avg(probability ORDER BY probability) AS predicted,
    avg((label = class)::INTEGER) AS observed
FROM tenths
GROUP BY class, tenth
ORDER BY list_position({classes}, class), tenth
