-- Whether the rows of lists, in some order that they come in, surely show that `lists_are_whole` holds: of each list all
-- rows lie side by side, ranked from 1 on one after the other, with scores that never rise. To compare a row with the one
-- before it takes a third of counting ranks list by list. Where it says no, the rows may lie otherwise, and be right.
WITH candidates AS (
{candidates}
),
compared AS (
    SELECT
        as_of,
        {list},
        rank,
        {score},
        {same_list} AS "almanac: goes on",
        rank = lag(rank) OVER () + 1 AND {score} <= lag({score}) OVER () AS "almanac: follows"
    FROM {predictions}
),
listed AS (
    SELECT
        as_of,
        {list},
        max(rank) AS "almanac: n_listed",
        count(*) FILTER (NOT "almanac: goes on") AS "almanac: n_runs",
        bool_and(
            coalesce(if("almanac: goes on", "almanac: follows", rank = 1) AND NOT isnan({score}), FALSE)
        ) AS "almanac: in order"
    FROM compared
    GROUP BY as_of, {list}
)
SELECT count(*) = 0
FROM candidates
FULL JOIN listed USING (as_of, {list})
WHERE "almanac: n_listed" IS DISTINCT FROM least("almanac: n_candidates", {top})
    OR "almanac: n_runs" IS DISTINCT FROM 1
    OR NOT "almanac: in order"
    OR "almanac: n_candidates" > {at_most}
