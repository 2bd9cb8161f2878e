-- What was scored, list by list, high scores first and equal ones by their keys, and where a list begins. A row is compared
-- with the one before it as DuckDB tells lists apart; without an order of its own `lag` takes rows as they come, so that
-- nothing is sorted twice. Which rows of the file they are is told too.
SELECT *, {begins} AS "almanac: begins"
FROM (FROM {scored} ORDER BY {order})
