-- How many predictions a range holds, how many of them have a label, and how many were made with hindsight. Those of
-- versions that learnt another kind of label have no such score, and are counted by themselves.
SELECT
    count(*) FILTER (NOT hindsight AND {score} IS NOT NULL),
    count(labels.label) FILTER (NOT hindsight AND {score} IS NOT NULL),
    count(*) FILTER (hindsight),
    count(DISTINCT as_of) FILTER (NOT hindsight AND {score} IS NOT NULL),
    list(DISTINCT model_version ORDER BY model_version) FILTER ({score} IS NOT NULL),
    count(*) FILTER (NOT hindsight AND {score} IS NULL)
FROM predictions.{table} AS predictions
LEFT JOIN labels.{table} AS labels USING (as_of, {keys})
WHERE as_of >= $1 AND as_of < $2
