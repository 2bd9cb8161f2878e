-- The entries of two rankings of the same lists, with their places in both. What one ranking has cut off follows behind what
-- it has, in the order of the other: lists are drafted no further than that.
SELECT
    as_of,
    {keys},
    dense_rank() OVER (ORDER BY as_of, {list}) - 1 AS "almanac: list",
    row_number() OVER (PARTITION BY as_of, {list} ORDER BY live.rank NULLS LAST, challenger.rank, {keys}) AS live_rank,
    row_number() OVER (PARTITION BY as_of, {list} ORDER BY challenger.rank NULLS LAST, live.rank, {keys}) AS rank
FROM {live} AS live
FULL JOIN {challenger} AS challenger USING (as_of, {keys})
ORDER BY "almanac: list", live_rank
