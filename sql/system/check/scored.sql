-- What both sides predict of the rows that both have and whose label is known, made without hindsight, by page and key.
SELECT labels.as_of, before.score AS before, after.score AS after, labels.label
FROM (SELECT as_of, {keys}, {score} AS score FROM {before} WHERE NOT hindsight) AS before
JOIN (SELECT as_of, {keys}, {score} AS score FROM {after} WHERE NOT hindsight) AS after USING (as_of, {keys})
JOIN (SELECT as_of, {keys}, {label} AS label FROM {labels} WHERE label IS NOT NULL) AS labels USING (as_of, {keys})
WHERE before.score IS NOT NULL AND after.score IS NOT NULL
ORDER BY ALL
