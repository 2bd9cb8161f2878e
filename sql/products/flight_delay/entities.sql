/*
description: >
  Every flight scheduled for the next day in New York: at 18:00 there, tomorrow's. `flight_date` is New York's date
  already, so that days of 23 and 25 hours need no care.
owner: flight-data
*/
SELECT
    flight_date,
    carrier,
    flight,
    origin,
    scheduled_arrival,                                                  -- until when the prediction is of use

    -- To look features up by.
    dest,
    tailnum,

    -- Keys are no features, so those that tell something come again.
    carrier AS operated_by,
    origin AS leaves_from,
    60 * local_hour + local_minute AS minute_of_day,                    -- scheduled, in New York
    block_minutes,
    distance
FROM schedule
WHERE flight_date = ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
