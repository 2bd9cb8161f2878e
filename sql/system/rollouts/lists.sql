-- How well each arm's lists of a page are in order: the mean NDCG over lists in which anything was relevant, listed or not.
-- With {by_split} only lists that an arm has served count for it; a list is served by one arm.
WITH entries AS (
    SELECT {keys}, arm, rank, true AS is_served
    FROM predictions.{table}
    WHERE as_of = {page} AND arm IS NOT NULL AND NOT hindsight
    UNION ALL
    SELECT {keys}, arm, rank, false
    FROM predictions.{beside}
    WHERE as_of = {page} AND NOT hindsight
),
outcomes AS (
    SELECT {keys}, label
    FROM labels.{table}
    WHERE as_of = {page}
),
told AS (
    SELECT {list}, least(sum(label), {top}) AS n_best
    FROM outcomes
    GROUP BY {list}
    HAVING sum(label) > 0
),
gains AS (
    SELECT
        {list},
        arm,
        bool_or(is_served) AS is_served,
        count(*) AS n_rows,
        coalesce(sum(1 / log2(rank + 1) ORDER BY rank) FILTER (label = 1), 0) AS gain
    FROM entries
    LEFT JOIN outcomes USING ({keys})
    GROUP BY {list}, arm
),
figures AS (
    SELECT
        arm,
        n_rows,
        gain / list_sum([1 / log2(place + 1) FOR place IN range(1, n_best::BIGINT + 1)]) AS ndcg
    FROM gains
    JOIN told USING ({list})
    WHERE is_served OR NOT {by_split}
)
SELECT arm, sum(n_rows)::BIGINT, avg(ndcg ORDER BY ndcg)
FROM figures
GROUP BY arm
