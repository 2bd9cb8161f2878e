/*
description: >
  What each aircraft should have flown before a departure of the next day. The schedule has departures from New York
  only: between two of them the aircraft flies back, or elsewhere. A late aircraft makes its next flights late, unless
  there is time to spare.
owner: flight-data
key: [flight_date, carrier, flight, origin]
*/
WITH legs AS (
    SELECT
        flight_date,
        carrier,
        flight,
        origin,
        departs_at,
        row_number() OVER (PARTITION BY tailnum, flight_date ORDER BY departs_at, carrier, flight, origin)
            AS leg_of_day,
        lag(scheduled_arrival) OVER before AS previous_arrival,
        lag(block_minutes) OVER before AS previous_block_minutes
    FROM schedule
    WHERE tailnum IS NOT NULL           -- the next day, and the two before it, where most aircraft were last seen
        AND flight_date >= ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE - 1
        AND flight_date <= ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
    WINDOW before AS (PARTITION BY tailnum ORDER BY departs_at, carrier, flight, origin)
)

SELECT
    flight_date,
    carrier,
    flight,
    origin,
    leg_of_day,                                                         -- 1: its first departure that day
    previous_block_minutes,
    date_diff('minute', previous_arrival, departs_at) AS minutes_since_previous_arrival,
    -- What remains if the aircraft flies straight back: time for two turnarounds, and to make up for delay.
    date_diff('minute', previous_arrival, departs_at) - previous_block_minutes AS minutes_to_spare
FROM legs
WHERE flight_date = ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
