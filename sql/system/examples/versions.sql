-- Facts of which an example says itself when each version became known; a later row is a later version.
CREATE TABLE {facts} AS
SELECT
    {columns},
    coalesce("almanac: known_at", ({known_at})::TIMESTAMP) AS known_at,
    "almanac: position" AS ingest_id,
    coalesce(({withdrawn})::BOOLEAN, false) AS withdrawn
FROM {given}
