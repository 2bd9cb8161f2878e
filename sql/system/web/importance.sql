-- By how much a version's loss grew on held-out rows when a column was shuffled. Parameters: product, version.
SELECT entry.key AS "column", entry.value AS loss_grows_by
FROM (SELECT unnest(map_entries(importance)) AS entry FROM ledger.models WHERE product = $1 AND version = $2)
ORDER BY loss_grows_by DESC, "column"
LIMIT 25
