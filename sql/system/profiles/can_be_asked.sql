-- Whether an expression, which is of one row, can be asked of rows like this one.
SELECT as_of, {asked}
FROM (SELECT {row})
