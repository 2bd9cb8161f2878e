-- Every prediction has a score.
SELECT *
FROM {predictions}
WHERE {score} IS NULL OR isnan({score})
