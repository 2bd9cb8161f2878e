-- The rows that could not be read as they are, beside those that were judged; each once.
INSERT INTO apart BY NAME
SELECT {columns}, coalesce(({withdrawn})::BOOLEAN, false) AS "almanac: withdrawn", "almanac: reason", 'new' AS "almanac: fate"
FROM refused
EXCEPT
SELECT {columns}, withdrawn, reason, 'new'
FROM {rejected}
