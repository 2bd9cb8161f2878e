-- The staged rows of some pages side by side, in memory: the columns that the product's checks name.
CREATE TABLE {table} AS
SELECT {columns}
FROM {rows}
WHERE as_of BETWEEN {first} AND {last}
ORDER BY as_of
