-- The rows of one of a bundle's tables, for plain JSON.
SELECT {columns}
FROM {table}
