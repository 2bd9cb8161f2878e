-- How many of the labelled rows of some pages a prediction may have influenced: readers had one of the row, or of its list, while it
-- was valid, and a model had chosen it.
SELECT count(*), count(*) FILTER ((as_of, {unit}) IN (
    SELECT (as_of, {unit})
    FROM {predictions}
    WHERE coalesce(published_at < valid_until, true) AND NOT hindsight AND {chosen}
))
FROM read_parquet($labels)
WHERE label IS NOT NULL AND as_of >= $first AND as_of < $until
