-- A probability lies within [0, 1].
SELECT *
FROM {predictions}
WHERE NOT {score} BETWEEN 0 AND 1
