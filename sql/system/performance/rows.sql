-- Predictions of some pages that count (none of hindsight, none of another kind), each beside its label if it has one.
(
    SELECT predictions.*, labels.label {more}
    FROM predictions.{table} AS predictions
    LEFT JOIN {labels} AS labels USING (as_of, {keys})
    {features}
    WHERE as_of BETWEEN {first} AND {last} AND as_of IN ({pages}) AND NOT hindsight AND {score} IS NOT NULL
)
