-- The rows of a query that other tasks have made: those that this shard looks up, or has.
INSERT INTO {target} BY NAME
SELECT {as_of} AS "almanac: as_of", made.*
FROM {rows} AS made
{looked_up}
WHERE {shown}
