-- What the lake holds of a source that is new to it: nothing, in the delivery's own types.
CREATE OR REPLACE TEMP TABLE near AS
SELECT {columns}, false AS withdrawn, NULL::TIMESTAMP AS known_at, NULL::BIGINT AS ingest_id
FROM delivery
LIMIT 0
