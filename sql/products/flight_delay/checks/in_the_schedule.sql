/*
description: A prediction for a flight that has left already, or of another day than the next one in New York.
severity: error
*/
SELECT flight_date, carrier, flight, origin, departs_at
FROM page
LEFT JOIN schedule USING (flight_date, carrier, flight, origin)
WHERE departs_at IS NULL
    OR departs_at <= $as_of
    OR (departs_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE
        <> ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
