-- The rows of a delivery that were turned away, with the reason.
CREATE TABLE {rejects} AS
SELECT {columns}, "almanac: reason" AS reason
FROM judged
WHERE "almanac: reason" IS NOT NULL
