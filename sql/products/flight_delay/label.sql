/*
description: >
  1 if the flight arrived half an hour late or more, else 0. Cancelled and diverted flights never arrived, so they
  have no label: they are left out of training and of every metric.
owner: flight-data
*/
SELECT flight_date, carrier, flight, origin, (arrival_delay >= 30)::INTEGER AS label
FROM landings
WHERE flight_date = ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
    AND outcome = 'landed'
