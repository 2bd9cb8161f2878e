-- The columns that were flagged or furthest from their references in a range. Parameters: product, first, until.
SELECT
    column_name AS "column",
    kind,
    count(*) FILTER (len(flags) > 0) AS flagged_pages,
    max(psi) AS largest_psi,
    arg_max(as_of, psi) AS on_page,
    max(evidence) AS most_evidence
FROM ledger.newest_drift
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND column_name IS NOT NULL AND segment IS NULL
GROUP BY column_name, kind
ORDER BY flagged_pages DESC, largest_psi DESC NULLS LAST, "column"
LIMIT 20
