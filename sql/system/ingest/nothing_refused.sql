-- Of what is delivered again from facts, no row is refused for a cell.
CREATE OR REPLACE TEMP VIEW refused AS
SELECT *, NULL::VARCHAR AS "almanac: reason"
FROM delivery
LIMIT 0
