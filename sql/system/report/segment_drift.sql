-- The drift of each segment over a range: its largest distance over its bound, and its share of the evidence.
-- Parameters: product, first, until.
SELECT
    segment,
    count(*) AS pages,
    count(*) FILTER (len(flags) > 0) AS flagged_pages,
    max(score) AS largest_ratio,
    arg_max(as_of, score) AS on_page,
    max(evidence) AS most_evidence
FROM ledger.newest_drift
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND column_name IS NULL AND segment IS NOT NULL AND n_rows > 0
GROUP BY segment
ORDER BY flagged_pages DESC, largest_ratio DESC NULLS LAST, segment
LIMIT 100
