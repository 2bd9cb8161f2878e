/*
description: >
  How flights on each route did of late, over the last 1, 7 and 28 days.
  Delays are in minutes at arrival, of the flights that landed; shares are of 1. A flight counts from
  when its end was known: landed, cancelled or diverted.
owner: flight-data
key: [origin, dest]
*/
SELECT
    origin,
    dest,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS route_flights_1d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS route_delay_1d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS route_delay_p90_1d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS route_late_1d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS route_cancelled_1d,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS route_flights_7d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS route_delay_7d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS route_delay_p90_7d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS route_late_7d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS route_cancelled_7d,

    count(*) AS route_flights_28d,
    avg(arrival_delay) AS route_delay_28d,
    quantile_disc(arrival_delay, 0.9) AS route_delay_p90_28d,
    avg((arrival_delay >= 30)::INTEGER) AS route_late_28d,
    avg((outcome = 'cancelled')::INTEGER) AS route_cancelled_28d
FROM landings
WHERE known_at >= $as_of - INTERVAL 28 DAY
GROUP BY origin, dest
