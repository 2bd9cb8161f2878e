-- What a source reads of a database, in the database's own SQL.
SELECT *
FROM {relation} AS delivered
WHERE {condition}
