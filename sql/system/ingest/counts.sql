-- How many rows of a delivery met which fate, and from when to when the accepted ones were known.
SELECT
    (SELECT count(*) FROM delivery) + (SELECT count(*) FROM refused),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'new'),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'restated'),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'withdrawn'),
    count(*) FILTER ("almanac: reason" IS NOT NULL),
    min("almanac: known_at") FILTER ("almanac: reason" IS NULL),
    max("almanac: known_at") FILTER ("almanac: reason" IS NULL)
FROM judged
