-- Every list of the page has its first entries, ranked from 1 on by their scores, and has no more candidates than may be.
WITH candidates AS (
{candidates}
),
listed AS (
    SELECT
        as_of,
        {list},
        count(*) AS "almanac: n_listed",
        max(rank) AS "almanac: last_rank",
        count(DISTINCT rank) AS "almanac: n_ranks",
        arg_min({score}, rank) = max({score}) AND arg_max({score}, rank) = min({score}) AS "almanac: falls"
    FROM {predictions}
    GROUP BY as_of, {list}
)
SELECT *
FROM candidates
FULL JOIN listed USING (as_of, {list})
WHERE "almanac: n_listed" IS DISTINCT FROM least("almanac: n_candidates", {top})
    OR "almanac: last_rank" IS DISTINCT FROM "almanac: n_listed"
    OR "almanac: n_ranks" IS DISTINCT FROM "almanac: n_listed"
    OR NOT coalesce("almanac: falls", FALSE)
    OR "almanac: n_candidates" > {at_most}
