-- What the rows of one page have in common: several rows, where several versions serve it.
SELECT DISTINCT {facts} AS facts
FROM {relation}
WHERE as_of = $as_of
LIMIT 2
