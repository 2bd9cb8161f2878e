-- The values of some pages as profiles count them: numbers, days and seconds as DOUBLE, categories as text.
SELECT as_of, {values}
FROM {rows}
WHERE as_of IN ({pages})
