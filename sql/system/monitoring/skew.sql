-- What requests gave of one column beside what was recorded of the same entity: what was known when it was asked, or,
-- where that was nothing, what became known first afterwards. Parameters: from and until when it was asked.
WITH asked AS (
    SELECT {keys}, asked_at, {given}::{kind} AS given
    FROM sources.{requests}
    WHERE NOT withdrawn AND asked_at >= $first AND asked_at < $until AND ({is_given})
),
recorded AS (
    SELECT {keys}, {known_at} AS known_at, {column}::{kind} AS recorded
    FROM {relation}
    {there}
),
earlier AS (
    SELECT asked.*, earlier.recorded AS before, earlier.known_at IS NOT NULL AS is_before
    FROM asked
    ASOF LEFT JOIN recorded AS earlier ON {same_as_earlier} AND asked.asked_at > earlier.known_at
),
compared AS (
    SELECT earlier.given, CASE WHEN is_before THEN before ELSE later.recorded END AS recorded,
        is_before OR later.known_at IS NOT NULL AS is_recorded
    FROM earlier
    ASOF LEFT JOIN recorded AS later ON {same_as_later} AND earlier.asked_at <= later.known_at
)
SELECT count(*) AS n_requests, count(*) FILTER (is_recorded) AS n_compared,
    count(*) FILTER (is_recorded AND given IS DISTINCT FROM recorded) AS n_differ,
    count(*) FILTER (is_recorded AND given IS NULL AND recorded IS NOT NULL) AS n_lacking,
    {mean} AS mean_difference, {largest} AS largest_difference
FROM compared
