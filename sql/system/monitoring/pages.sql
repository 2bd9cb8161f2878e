-- The pages of a product, of features or predictions, that are published, or were at an instant.
-- Parameters: product, the instant (NULL: now).
SELECT DISTINCT as_of
FROM ledger.pages
WHERE product = $1 AND kind IN ('features', 'predictions') AND state = 'published'
    AND ($2 IS NULL OR recorded_at <= $2)
ORDER BY as_of
