-- How the units that arms will serve differed before: what came of the newest labelled pages, by who would have served them.
-- Sums are of whole numbers, which are the same whatever the threads do.
SELECT
    {given} AS arm,
    count(*) AS n_rows,
    count(DISTINCT {unit}) AS n_units,
    sum(TRY_CAST({label} * 1e9 AS HUGEINT))::DOUBLE / 1e9 / count({label}) AS mean_label
FROM labels.{table}
WHERE as_of IN (SELECT DISTINCT as_of FROM labels.{table} ORDER BY as_of DESC LIMIT {pages})
GROUP BY arm
ORDER BY arm
