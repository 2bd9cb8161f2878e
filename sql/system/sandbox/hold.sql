-- A copy of a source in the sandbox's own memory, every version of every fact.
CREATE TABLE memory.main.{source} AS
SELECT *
FROM lake.sources.{source}
