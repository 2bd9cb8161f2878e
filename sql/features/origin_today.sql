/*
description: >
  The day's state at each airport by the evening: flights whose end became known in the last 13 hours
  (at 18:00: since five in the morning, when the first ones leave), and in the last 3. Delays are in minutes.
owner: flight-data
key: [origin]
*/
SELECT
    origin,
    count(*) AS today_flights,
    avg(departure_delay) AS today_departure_delay,
    avg(arrival_delay) AS today_arrival_delay,
    avg((arrival_delay >= 30)::INTEGER) AS today_late,
    avg((outcome = 'cancelled')::INTEGER) AS today_cancelled,

    avg(departure_delay) FILTER (WHERE known_at >= $as_of - INTERVAL 3 HOUR) AS today_departure_delay_3h,
    avg((arrival_delay >= 30)::INTEGER) FILTER (WHERE known_at >= $as_of - INTERVAL 3 HOUR) AS today_late_3h
FROM landings
WHERE known_at >= $as_of - INTERVAL 13 HOUR
GROUP BY origin
