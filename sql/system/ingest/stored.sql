-- What the lake holds of a source: every version of every fact, and which is the newest.
CREATE OR REPLACE TEMP VIEW stored AS
SELECT {columns}, withdrawn, known_at
FROM lake.sources.{source}
