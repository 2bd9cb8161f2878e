-- How many labels two definitions give, before and after, and how many changed, came and went.
SELECT
    count(before.as_of),
    count(after.as_of),
    count(*) FILTER (before.as_of IS NOT NULL AND after.as_of IS NOT NULL AND before.label IS DISTINCT FROM after.label),
    count(*) FILTER (before.as_of IS NULL),
    count(*) FILTER (after.as_of IS NULL)
FROM {before} AS before
FULL JOIN {after} AS after ON {match}
