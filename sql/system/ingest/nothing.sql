-- What the lake holds of a source that is new to it: nothing, in the delivery's own types.
CREATE OR REPLACE TEMP VIEW {view} AS
SELECT {columns}, false AS withdrawn, NULL::TIMESTAMP AS known_at
FROM delivery
LIMIT 0
