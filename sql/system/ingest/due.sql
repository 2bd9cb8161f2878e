-- The ingestions that turned rows away for being known too late, of which some are known by now. Parameter: until when
-- facts can be known by now.
SELECT DISTINCT ingest_id
FROM lake.rejects.{table}
WHERE contains(reason, {later})
  AND coalesce(({restated_at})::TIMESTAMP, ({known_at})::TIMESTAMP) <= $1
