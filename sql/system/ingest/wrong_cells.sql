-- The rows of a file in which a cell does not stand for its value, with NULL for the cell, and the reason.
SELECT {columns}, {reason} AS "almanac: reason"
FROM {cells}
WHERE {wrong}
