-- The columns of a page that lie furthest from their reference. Parameters: product, as_of.
SELECT column_name, kind, state, flags, psi, missing_delta, new_share, evidence, reference
FROM ledger.newest_drift
WHERE product = $1 AND as_of = $2 AND column_name IS NOT NULL AND segment IS NULL
ORDER BY len(flags) DESC NULLS LAST, psi DESC NULLS LAST, kind, column_name
LIMIT 25
