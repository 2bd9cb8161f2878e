-- The figures that a version was registered with. Parameters: product, version.
SELECT entry.key AS metric, entry.value AS figure
FROM (SELECT unnest(map_entries(metrics)) AS entry FROM ledger.models WHERE product = $1 AND version = $2)
ORDER BY metric
