-- How many rows hold, by column, what DuckDB has no value for.
SELECT {counts}
FROM {relation} AS delivered
WHERE {condition}
