/*
description: >
  How long today's flights were in the air, against the mean of the last 28 days to the same destination: 1.05 is
  5 % longer. No source observes the winds at altitude, but every flight has measured them, and
  the jet stream that slows the flights to the west today carries tomorrow's weather.
owner: flight-data
key: [flight_date]                      # the day that the page is for; its one row holds for all flights
*/
WITH flown AS (
    SELECT dest, air_time, known_at
    FROM landings
    WHERE outcome = 'landed' AND known_at >= $as_of - INTERVAL 28 DAY
),

usual AS (
    SELECT dest, round(60 * avg(air_time))::INTEGER AS air_time_s       -- whole seconds, so that their sums are exact
    FROM flown
    GROUP BY dest
),

today AS (
    SELECT 60 * air_time AS air_time_s, usual.air_time_s AS usual_s, latitude, longitude
    FROM flown
    JOIN usual USING (dest)
    JOIN airports ON airport = dest                                     -- the four that it lacks are left out
    WHERE flown.known_at >= $as_of - INTERVAL 13 HOUR
)

SELECT
    ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1 AS flight_date,
    sum(air_time_s) FILTER (WHERE longitude < -95) / sum(usual_s) FILTER (WHERE longitude < -95) AS air_time_west,
    sum(air_time_s) FILTER (WHERE longitude BETWEEN -95 AND -80)
        / sum(usual_s) FILTER (WHERE longitude BETWEEN -95 AND -80) AS air_time_midwest,
    sum(air_time_s) FILTER (WHERE longitude > -84 AND latitude < 33)
        / sum(usual_s) FILTER (WHERE longitude > -84 AND latitude < 33) AS air_time_south
FROM today
