-- Published pages of one product and kind that have no profile. Parameters: product, kind.
SELECT as_of
FROM ledger.published_pages
ANTI JOIN ledger.profiles USING (product, kind, as_of, run_id)
WHERE product = $1 AND kind = $2
