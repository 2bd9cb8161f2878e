-- Predictions that count, beside their labels: of pages in a range, made without hindsight.
(
    SELECT predictions.*, labels.label {by_column}
    FROM predictions.{table} AS predictions
    JOIN labels.{table} AS labels USING (as_of, {keys})
    {features}
    WHERE as_of >= {first} AND as_of < {until} AND NOT hindsight AND {score} IS NOT NULL
)
