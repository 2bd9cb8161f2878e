-- Every prediction beside what came of it, once that is known.
SELECT {columns}, labels.label
FROM predictions.{table} AS predictions
JOIN labels.{table} AS labels USING (as_of, {keys})
