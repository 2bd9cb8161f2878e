-- How many rows of a delivery met which fate, and from when to when the accepted ones were known; and how new its newest
-- fact is, as what is known from its ingestion on (a change, a withdrawal) says nothing of that.
SELECT
    (SELECT count(*) FROM delivery) + (SELECT count(*) FROM refused),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'new'),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'restated'),
    count(*) FILTER ("almanac: reason" IS NULL AND "almanac: fate" = 'withdrawn'),
    count(*) FILTER ("almanac: reason" IS NOT NULL),
    min("almanac: known_at") FILTER ("almanac: reason" IS NULL),
    max("almanac: known_at") FILTER ("almanac: reason" IS NULL),
    max("almanac: known_at") FILTER ("almanac: reason" IS NULL AND "almanac: known_at" < {ingested_at})
FROM judged
