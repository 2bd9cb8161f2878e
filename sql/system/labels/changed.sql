-- Of labels that were known early ($1), how many there are and how many became others in the end ($2); and of the value
-- that most changed from, which part of its labels in the end had been another. Parameters: both files.
WITH compared AS (
    SELECT early.label AS label, final.label AS final, {differs} AS differs
    FROM (SELECT * FROM read_parquet($1) WHERE label IS NOT NULL) AS early
    LEFT JOIN (SELECT * FROM read_parquet($2) WHERE label IS NOT NULL) AS final USING ({keys})
),
by_value AS (
    SELECT count(*) AS n, count(*) FILTER (differs) AS n_changed
    FROM compared
    GROUP BY {value}
)
SELECT sum(n)::BIGINT, sum(n_changed)::BIGINT, max(n_changed / n)
FROM by_value
