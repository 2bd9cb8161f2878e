/*
description: >
  How each aircraft did of late on its flights from New York, over the last 1, 7 and 28 days.
  Delays are in minutes at arrival, of the flights that landed; shares are of 1. A flight counts from
  when its end was known: landed, cancelled or diverted.
owner: flight-data
key: [tailnum]
*/
SELECT
    tailnum,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS aircraft_flights_1d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS aircraft_delay_1d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS aircraft_delay_p90_1d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS aircraft_late_1d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS aircraft_cancelled_1d,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS aircraft_flights_7d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS aircraft_delay_7d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS aircraft_delay_p90_7d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS aircraft_late_7d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS aircraft_cancelled_7d,

    count(*) AS aircraft_flights_28d,
    avg(arrival_delay) AS aircraft_delay_28d,
    quantile_disc(arrival_delay, 0.9) AS aircraft_delay_p90_28d,
    avg((arrival_delay >= 30)::INTEGER) AS aircraft_late_28d,
    avg((outcome = 'cancelled')::INTEGER) AS aircraft_cancelled_28d
FROM landings
WHERE known_at >= $as_of - INTERVAL 28 DAY
    AND tailnum IS NOT NULL
GROUP BY tailnum
