-- What was judged last of the segments of pages: of each page the largest distance over its bound, what it had to be
-- over, and whether a segment was flagged. Judgements of publications that others have replaced are left out.
-- Parameters: product, first page, last page.
WITH judged AS (
    SELECT as_of, run_id, column_name, segment, score, score_bound, flags
    FROM ledger.newest_drift
    WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND column_name IS NULL AND reference = 'season'
),
of_pages AS (
    SELECT as_of, run_id
    FROM judged
    WHERE segment IS NULL
)
SELECT as_of, max(score), max(score_bound), bool_or(len(flags) > 0)
FROM judged
SEMI JOIN of_pages USING (as_of, run_id)
WHERE segment IS NOT NULL AND {is_of_columns}
GROUP BY as_of
