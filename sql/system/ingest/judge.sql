-- Each fresh row with the instant at which it became known, what it is (new, restated or withdrawn), and why
-- it is rejected, if it is. A changed row is known from its restated_at, or else from now; a first one from
-- its declared known_at. A complete delivery may bring back a fact that was withdrawn, as it was: that is known from
-- now. Two different rows for one key at one instant cannot both be right, and nothing is known later than it reached
-- us, but for what clocks differ by.
CREATE OR REPLACE TEMP TABLE judged AS
WITH dated AS (
    SELECT
        *,
        ({known_at})::TIMESTAMP AS "almanac: declared",
        ({restated_at})::TIMESTAMP AS "almanac: restated",
        {broken_rules} AS "almanac: broken"
    FROM fresh
),
numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY {key} ORDER BY "almanac: restated" NULLS FIRST) AS "almanac: nth",
        count(*) OVER (PARTITION BY {key}, "almanac: restated") AS "almanac: twins"
    FROM dated
),
placed AS (
    SELECT
        numbered.*,
        newest.known_at AS "almanac: before",
        coalesce(({returns}) AND NOT "almanac: withdrawn" AND coalesce("almanac: restated" <= newest.known_at, true), false)
            AS "almanac: returns",
        newest.known_at IS NOT NULL OR "almanac: nth" > 1 OR "almanac: withdrawn" AS "almanac: changes",
        CASE
            WHEN "almanac: returns" THEN greatest($ingested_at::TIMESTAMP, newest.known_at + INTERVAL 1 MICROSECOND)
            WHEN NOT "almanac: changes" THEN coalesce("almanac: restated", "almanac: declared")
            WHEN "almanac: restated" IS NOT NULL THEN "almanac: restated"
            ELSE greatest($ingested_at::TIMESTAMP, newest.known_at + INTERVAL 1 MICROSECOND)
        END AS "almanac: known_at"
    FROM numbered
    LEFT JOIN newest ON {same_key}
)
SELECT
    *,
    CASE
        WHEN "almanac: withdrawn" THEN 'withdrawn'
        WHEN "almanac: changes" THEN 'restated'
        ELSE 'new'
    END AS "almanac: fate",
    nullif(concat_ws('; ',
        "almanac: broken",
        CASE WHEN {key_is_null} THEN 'a key column is NULL' END,
        CASE WHEN "almanac: declared" IS NULL AND NOT "almanac: withdrawn" THEN 'known_at is NULL' END,
        CASE WHEN "almanac: known_at" NOT BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'
            THEN 'known_at is not within the years 1 to 9999'
            WHEN "almanac: known_at" > {horizon} THEN {later} END,
        CASE WHEN "almanac: twins" > 1 THEN 'the delivery has different rows for this key' END,
        CASE WHEN "almanac: restated" <= "almanac: before" AND NOT "almanac: returns"
            THEN 'restated_at is not after the version that it restates' END
    ), '') AS "almanac: reason"
FROM placed
