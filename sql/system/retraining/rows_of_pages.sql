-- How many rows each page of a product has, by its newest publication before an instant. Parameters: the product, the instant.
SELECT as_of, n_rows
FROM ledger.pages
WHERE product = $1 AND kind = 'features' AND state = 'published' AND recorded_at < $2 AND as_of < $2
QUALIFY row_number() OVER (PARTITION BY as_of ORDER BY snapshot_id DESC) = 1
ORDER BY as_of
