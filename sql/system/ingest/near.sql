-- What is held of the facts of which a delivery has rows. The keys of a small delivery reach the scan as a filter, so
-- that files and row groups of other keys are not read.
CREATE OR REPLACE TEMP TABLE near AS
SELECT {columns}, withdrawn, known_at, ingest_id
FROM {facts}
SEMI JOIN (SELECT {key} FROM delivery) AS delivered USING ({key})
