-- Each row of a delivery that is not held, with the instant at which it became known, what it is (new, restated or
-- withdrawn), and why it is rejected, if it is. A changed row is known from its restated_at, or else from now; a first
-- one from its declared known_at. A complete delivery may bring back a fact that was withdrawn, as it was: that is known
-- from now. Two different rows for one key at one instant cannot both be right, and nothing is known later than it
-- reached us, but for what clocks differ by.
CREATE OR REPLACE TEMP VIEW judged AS
WITH fresh AS (
    SELECT
        {columns},
        coalesce(({withdrawn})::BOOLEAN, false) AS "almanac: withdrawn",
        1 AS "almanac: nth",
        1 AS "almanac: twins",
        NULL::TIMESTAMP AS "almanac: before",
        false AS "almanac: is gone"
    FROM ({alone})
    UNION ALL BY NAME
    FROM compared
),
dated AS (
    SELECT
        *,
        ({known_at})::TIMESTAMP AS "almanac: declared",
        ({restated_at})::TIMESTAMP AS "almanac: restated",
        {rules}
    FROM fresh
),
placed AS (
    SELECT
        *,
        coalesce(
            {returns} AND "almanac: is gone" AND NOT "almanac: withdrawn"
                AND coalesce("almanac: restated" <= "almanac: before", true),
            false
        ) AS "almanac: returns",
        "almanac: before" IS NOT NULL OR "almanac: nth" > 1 OR "almanac: withdrawn" AS "almanac: changes",
        CASE
            WHEN "almanac: returns" THEN greatest({ingested_at}, "almanac: before" + INTERVAL 1 MICROSECOND)
            WHEN NOT "almanac: changes" THEN coalesce("almanac: restated", "almanac: declared")
            WHEN "almanac: restated" IS NOT NULL THEN "almanac: restated"
            ELSE greatest({ingested_at}, "almanac: before" + INTERVAL 1 MICROSECOND)
        END AS "almanac: known_at"
    FROM dated
),
wrong AS (
    SELECT
        *,
        CASE WHEN {key_is_null} THEN 'a key column is NULL' END AS "almanac: no key",
        CASE WHEN "almanac: declared" IS NULL AND NOT "almanac: withdrawn" THEN 'known_at is NULL' END AS "almanac: no instant",
        CASE
            WHEN "almanac: known_at" NOT BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'
                THEN 'known_at is not within the years 1 to 9999'
            WHEN "almanac: known_at" > {horizon} THEN {later}
        END AS "almanac: out of time",
        CASE WHEN "almanac: twins" > 1 THEN 'the delivery has different rows for this key' END AS "almanac: two",
        CASE
            WHEN "almanac: restated" <= "almanac: before" AND NOT "almanac: returns"
                THEN 'restated_at is not after the version that it restates'
        END AS "almanac: too early"
    FROM placed
)
SELECT
    {columns},
    "almanac: withdrawn",
    "almanac: known_at",
    CASE
        WHEN "almanac: withdrawn" THEN 'withdrawn'
        WHEN "almanac: changes" THEN 'restated'
        ELSE 'new'
    END AS "almanac: fate",
    -- Texts are put together for the rows that have any.
    CASE
        WHEN coalesce(
            {broken} "almanac: no key", "almanac: no instant", "almanac: out of time", "almanac: two", "almanac: too early"
        ) IS NOT NULL
        THEN concat_ws(
            '; ',
            {broken} "almanac: no key", "almanac: no instant", "almanac: out of time", "almanac: two", "almanac: too early"
        )
    END AS "almanac: reason"
FROM wrong
UNION ALL
FROM apart
