-- How many predictions a range holds, how many of them have a label, and how many were made with hindsight.
SELECT
    count(*) FILTER (NOT hindsight),
    count(labels.label) FILTER (NOT hindsight),
    count(*) FILTER (hindsight),
    count(DISTINCT as_of) FILTER (NOT hindsight),
    list(DISTINCT model_version ORDER BY model_version)
FROM predictions.{table} AS predictions
LEFT JOIN labels.{table} AS labels USING (as_of, {keys})
WHERE as_of >= $1 AND as_of < $2
