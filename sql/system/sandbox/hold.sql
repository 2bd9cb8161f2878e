-- A copy of a source in the sandbox's own memory, every version of every fact.
CREATE TABLE {held}.{source} AS
SELECT *
FROM {lake}.sources.{source}
