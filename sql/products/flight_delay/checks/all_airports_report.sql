/*
description: >
  An airport without a landing or without weather in the last hours before the page: a feed has stopped, and the
  features that describe the day say nothing. (The weather of 2013 ends on 30 December.)
severity: warning
*/
SELECT origin, count(*) AS flights, max(today_flights) AS landings_today, count(temperature) AS with_weather
FROM page
GROUP BY origin
HAVING coalesce(max(today_flights), 0) = 0 OR count(temperature) < count(*)
