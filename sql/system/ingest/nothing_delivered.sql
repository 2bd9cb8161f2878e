-- A delivery of no rows, in the columns of the facts that are held.
CREATE OR REPLACE TEMP VIEW delivery AS
SELECT {columns}
FROM {facts}
LIMIT 0
