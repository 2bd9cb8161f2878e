-- Two states of one page side by side, as a relation: of each entity the score before and after, and what became
-- of it.
(
    SELECT
        {keys},
        CASE
            WHEN before.as_of IS NULL THEN 'came'
            WHEN after.as_of IS NULL THEN 'went'
            WHEN before.{score} IS DISTINCT FROM after.{score} THEN 'changed'
            ELSE 'same'
        END AS "almanac: what",
        before.{score} AS "almanac: before",
        after.{score} AS "almanac: after"
    FROM {before} AS before
    FULL JOIN {after} AS after USING ({keys})
)
