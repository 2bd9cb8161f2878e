/*
description: >
  Whether a carrier's flights of today are coming in: of those that should have landed by half an hour ago,
  the share of which nothing is known yet. What has not happened is knowledge too; averages over
  landings leave out exactly the flights that are latest.
owner: flight-data
key: [carrier, origin]
*/
WITH due AS (
    SELECT flight_date, carrier, flight, origin
    FROM schedule
    WHERE scheduled_arrival BETWEEN $as_of - INTERVAL 13 HOUR AND $as_of - INTERVAL 30 MINUTE
)

SELECT
    due.carrier,
    due.origin,
    count(*) AS today_due,
    avg((landings.known_at IS NULL)::INTEGER) AS today_overdue
FROM due
LEFT JOIN landings USING (flight_date, carrier, flight, origin)
GROUP BY due.carrier, due.origin
