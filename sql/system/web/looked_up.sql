-- What applications see of one entity. Parameters: the values of its key, as text.
SELECT *
FROM {view}
WHERE {condition}
