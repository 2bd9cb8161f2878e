/*
description: >
  The day that the page is for: the day of the week, and how far it is from a public holiday. The list ends with the
  data; a later day counts as far from any.
owner: flight-data
key: [flight_date]
*/
WITH day AS (
    SELECT ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1 AS flight_date
),

holidays AS (
    FROM (VALUES
        (DATE '2013-01-01'), (DATE '2013-01-21'), (DATE '2013-02-18'), (DATE '2013-05-27'), (DATE '2013-07-04'),
        (DATE '2013-09-02'), (DATE '2013-10-14'), (DATE '2013-11-11'), (DATE '2013-11-28'), (DATE '2013-12-25'),
        (DATE '2014-01-01')
    ) AS listed(holiday)
)

SELECT
    flight_date,
    isodow(flight_date) AS weekday,                                     -- 1 is Monday
    least(min(abs(date_diff('day', holiday, flight_date))), 7) AS days_from_holiday     -- 7: a week or more
FROM day
CROSS JOIN holidays
GROUP BY flight_date
