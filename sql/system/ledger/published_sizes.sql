-- How many rows each published page before an instant has. Parameters: product, kind, the instant.
SELECT as_of, n_rows
FROM ledger.published_pages
WHERE product = $1 AND kind = $2 AND as_of < $3
ORDER BY as_of
