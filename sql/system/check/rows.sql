-- How many rows two states of pages have, before and after, and how many of them came and went.
SELECT
    count(before.as_of),
    count(after.as_of),
    count(*) FILTER (before.as_of IS NULL),
    count(*) FILTER (after.as_of IS NULL)
FROM {before} AS before
FULL JOIN {after} AS after ON {match}
