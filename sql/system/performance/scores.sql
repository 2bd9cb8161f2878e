-- The score and the label of each row, with its page and version, and the value of each segment column as text.
SELECT as_of, model_version, {score} AS score, {label} AS label {segments}
FROM {rows}
ORDER BY as_of, model_version
