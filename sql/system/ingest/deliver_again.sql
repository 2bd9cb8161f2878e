-- What an earlier derivation took in of one delivery, accepted or not, as a delivery. Rows that it held already by then
-- are not among them, as they would change nothing now.
CREATE OR REPLACE TEMP TABLE delivered_again AS
SELECT {columns}, known_at, withdrawn
FROM lake.sources.{table}
WHERE ingest_id = {ingest_id}
UNION ALL BY NAME
SELECT {columns}, withdrawn
FROM lake.rejects.{table}
WHERE ingest_id = {ingest_id}
