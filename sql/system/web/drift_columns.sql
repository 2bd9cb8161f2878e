-- Columns by how often they were flagged, and how far they lay from their references. Parameters: product, first, last.
SELECT
    column_name, kind, count(*) FILTER (len(flags) > 0) AS flagged_pages, max(psi) AS largest_psi,
    arg_max(as_of, psi) AS on_page, max(evidence) AS most_evidence, max(weight) AS weight
FROM ledger.newest_drift
WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND column_name IS NOT NULL AND segment IS NULL
GROUP BY column_name, kind
ORDER BY flagged_pages DESC, largest_psi DESC NULLS LAST, kind, column_name
LIMIT 200
