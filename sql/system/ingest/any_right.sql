-- Whether any cell of a column stands for its value, how many cells there are, and one of them.
SELECT bool_or({stands}), count(*), min({column})
FROM {cells}
WHERE {column} IS NOT NULL
