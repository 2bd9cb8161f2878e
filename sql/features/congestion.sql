/*
description: How busy the schedule is around each departure of the next day.
owner: flight-data
key: [flight_date, carrier, flight, origin]
*/
SELECT
    flight_date,
    carrier,
    flight,
    origin,
    count(*) OVER (PARTITION BY origin) AS departures_day,
    count(*) OVER (PARTITION BY origin, local_hour) AS departures_hour,
    count(*) OVER (PARTITION BY carrier, origin) AS carrier_departures_day,
    count(*) OVER (PARTITION BY carrier, origin, local_hour) AS carrier_departures_hour,
    count(*) OVER (PARTITION BY origin, dest) AS route_departures_day,
    count(*) OVER (PARTITION BY dest, date_trunc('hour', scheduled_arrival)) AS arrivals_hour,
    -- A queue for the runway is made by those before.
    count(*) OVER (PARTITION BY origin ORDER BY departs_at
        RANGE BETWEEN INTERVAL 2 HOUR PRECEDING AND CURRENT ROW) AS departures_2h_before,
    count(*) OVER (PARTITION BY origin ORDER BY departs_at
        RANGE BETWEEN INTERVAL 15 MINUTE PRECEDING AND INTERVAL 15 MINUTE FOLLOWING) AS departures_15min_around
FROM schedule
WHERE flight_date = ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
