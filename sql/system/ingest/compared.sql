-- Each fresh row beside the others of its key: its place among them, how many are restated at one instant, and the newest
-- version that is held.
CREATE OR REPLACE TEMP TABLE compared AS
WITH numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY {key} ORDER BY "almanac: restated" NULLS FIRST) AS "almanac: nth",
        count(*) OVER (PARTITION BY {key}, "almanac: restated") AS "almanac: twins"
    FROM (SELECT *, ({restated_at})::TIMESTAMP AS "almanac: restated" FROM fresh)
)
SELECT
    numbered.* EXCLUDE ("almanac: restated"),
    newest.known_at AS "almanac: before",
    coalesce(newest.withdrawn, false) AS "almanac: is gone"
FROM numbered
LEFT JOIN newest ON {same_key}
