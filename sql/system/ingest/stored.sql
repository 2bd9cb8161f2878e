-- What is held of a source: every version of every fact.
CREATE OR REPLACE TEMP VIEW stored AS
SELECT {columns}, withdrawn, known_at
FROM {facts}
