-- How many units each arm served of the labelled rows of some pages, in all or by the values of one column.
SELECT predictions.arm, {segment} AS segment, count(DISTINCT {unit}) AS n_units
FROM predictions.{table} AS predictions
JOIN labels.{table} AS labels USING (as_of, {keys})
{join}
WHERE as_of IN ({pages}) AND predictions.arm IS NOT NULL
GROUP BY ALL
