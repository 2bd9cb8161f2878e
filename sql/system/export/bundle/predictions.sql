-- The rows of a bundle, in the order of its key, which lets SQLite write page after page.
INSERT INTO target.predictions
SELECT {key_values}, rows.valid_until, rows.rank, made.almanac_made, rows.prediction
FROM (
    SELECT
        {keys}, epoch_us(valid_until) AS valid_until, {rank} AS rank, {facts} AS facts, {prediction} AS prediction
    FROM {relation}
) AS rows
JOIN target.almanac_made AS made ON made.facts = rows.facts
ORDER BY {in_order}
