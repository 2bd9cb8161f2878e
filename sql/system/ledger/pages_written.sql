-- How many of the pages that readers see a version wrote. Parameters: product, version.
SELECT count(*)
FROM ledger.published_pages
WHERE product = $1 AND kind = 'predictions' AND model_version = $2
