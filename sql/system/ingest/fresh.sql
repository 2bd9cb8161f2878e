-- Of the rows of a delivery that have to be compared, those that the lake does not hold yet, each once: EXCEPT compares
-- whole rows and counts NULL as equal to NULL. {stored} are the rows to compare with, {rejected} those turned away before.
-- Of those, a row that was refused for a cell is another one than a row that says NULL there itself, and one that was
-- known too late is judged again once its time has come.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT {columns}, coalesce(({withdrawn})::BOOLEAN, false) AS "almanac: withdrawn"
FROM delivery
SEMI JOIN ambiguous ON hash({key}) = "almanac: key"
EXCEPT
SELECT {columns}, withdrawn
FROM {stored}
EXCEPT
SELECT {columns}, withdrawn
FROM {rejected}
WHERE NOT contains(reason, {not_the_value})
  AND NOT (
      contains(reason, {later})
      AND coalesce(coalesce(({restated_at})::TIMESTAMP, ({known_at})::TIMESTAMP) <= {horizon}, false)
  )
