-- The rows that a target gets.
SELECT {columns}
FROM {relation}
