-- Two pages, or two states of one, side by side, as a relation: of each row the score before and after, what became of
-- it, and its features.
(
    SELECT
        {keys},
        CASE
            WHEN before.as_of IS NULL THEN 'came'
            WHEN after.as_of IS NULL THEN 'went'
            WHEN {differ} THEN 'changed'
            ELSE 'same'
        END AS "almanac: what",
        before.{score} AS "almanac: before",
        after.{score} AS "almanac: after"
        {features},
        {change} AS "almanac: change"
    FROM {before} AS before
    FULL JOIN {after} AS after ON {match}
)
