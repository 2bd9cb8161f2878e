-- What the profiles of the pages that a version was trained on add up to.
-- Parameters: product, version, which publications of those pages.
SELECT {columns}
FROM ledger.training_profiles
WHERE product = $1 AND model_version = $2 AND basis = $3
