/*
description: >
  How flights from each airport did of late, over the last 1, 7 and 28 days.
  Delays are in minutes at arrival, of the flights that landed; shares are of 1. A flight counts from
  when its end was known: landed, cancelled or diverted.
owner: flight-data
key: [origin]
*/
SELECT
    origin,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS origin_flights_1d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS origin_delay_1d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS origin_delay_p90_1d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS origin_late_1d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY) AS origin_cancelled_1d,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS origin_flights_7d,
    avg(arrival_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS origin_delay_7d,
    quantile_disc(arrival_delay, 0.9) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS origin_delay_p90_7d,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS origin_late_7d,
    avg((outcome = 'cancelled')::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 7 DAY) AS origin_cancelled_7d,

    count(*) AS origin_flights_28d,
    avg(arrival_delay) AS origin_delay_28d,
    quantile_disc(arrival_delay, 0.9) AS origin_delay_p90_28d,
    avg((arrival_delay >= 30)::INTEGER) AS origin_late_28d,
    avg((outcome = 'cancelled')::INTEGER) AS origin_cancelled_28d
FROM landings
WHERE known_at >= $as_of - INTERVAL 28 DAY
GROUP BY origin
