-- The rows of a delivery that the lake does not hold yet, each once: EXCEPT compares whole rows and counts
-- NULL as equal to NULL. {stored} are the rows to compare with, {rejected} those turned away before.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT {columns}, coalesce(({withdrawn})::BOOLEAN, false) AS "almanac: withdrawn"
FROM delivery
EXCEPT
SELECT {columns}, withdrawn
FROM {stored}
EXCEPT
SELECT {columns}, withdrawn
FROM {rejected}
