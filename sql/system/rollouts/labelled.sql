-- The score and the label of each labelled row of a page, arm by arm, in one order, so that sums have the same bits.
-- What no model chose for is the live version's row, and counts for no arm.
SELECT rows.arm, rows.is_served, rows.score, {label} AS label
FROM (
    SELECT
        as_of, {keys}, if(arm = 'explore', model_version, arm) AS arm, arm <> 'explore' AS is_served, {score} AS score
    FROM predictions.{table}
    WHERE as_of = {page} AND arm IS NOT NULL AND NOT hindsight
    UNION ALL
    SELECT as_of, {keys}, arm, false, {score}
    FROM predictions.{beside}
    WHERE as_of = {page} AND NOT hindsight
) AS rows
JOIN labels.{table} AS labels USING (as_of, {keys})
WHERE {label} IS NOT NULL
ORDER BY rows.arm, {keys}
