-- What a model is trained on: the features of past pages beside their labels, page by page; of lists those of which all
-- candidates are kept.
SELECT {columns}, labels.label, features.as_of
FROM {table} AS features
JOIN read_parquet($labels) AS labels USING (as_of, {keys})
WHERE as_of >= $first AND as_of < $until AND {kept}
ORDER BY as_of, {keys}
