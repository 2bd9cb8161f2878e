-- The newest version of each fact that is held. What an earlier version of Almanac took in as known later than clocks
-- can explain is not looked at: no page sees it for years, and nothing could ever restate it.
CREATE OR REPLACE TEMP VIEW newest AS
SELECT *
FROM (
    SELECT
        * EXCLUDE (ingest_id),
        lead(known_at) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS "almanac: next"
    FROM {near}
    WHERE known_at <= {horizon}
)
WHERE "almanac: next" IS NULL
