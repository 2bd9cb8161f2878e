-- How many rows each arm has of each staged page, how many of them are served, and its mean score. The sum is one of whole
-- numbers, which is the same whatever the threads do.
SELECT
    as_of,
    arm,
    count(*) AS n_rows,
    count(*) FILTER (is_served) AS n_served,
    sum(TRY_CAST(score * 1e9 AS HUGEINT))::DOUBLE / 1e9 / count(*) AS mean
FROM (
    SELECT as_of, arm, {score} AS score, true AS is_served
    FROM read_parquet($served)
    UNION ALL
    SELECT as_of, arm, {score}, false
    FROM read_parquet($beside)
)
GROUP BY as_of, arm
ORDER BY as_of, arm
