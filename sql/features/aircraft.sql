/*
description: What the register says of each aircraft. A sixth of the flights have a tail number that it lacks.
owner: flight-data
key: [tailnum]
*/
SELECT
    tailnum,
    seats,
    engines,
    manufacturer AS aircraft_manufacturer,
    year($as_of) - built_year AS aircraft_age                           -- years
FROM planes
