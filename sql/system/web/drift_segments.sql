-- The drift of each segment over pages: its largest distance over its bound, and its share of the evidence.
-- Parameters: product, first, last.
SELECT
    segment,
    count(*) AS pages,
    count(*) FILTER (len(flags) > 0) AS flagged_pages,
    max(score) AS largest_ratio,
    arg_max(as_of, score) AS on_page,
    max(evidence) AS most_evidence
FROM ledger.newest_drift
WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND column_name IS NULL AND segment IS NOT NULL AND n_rows > 0
GROUP BY segment
ORDER BY flagged_pages DESC, largest_ratio DESC NULLS LAST, segment
LIMIT 100
