-- Published pages of one product and kind that have no profile, or were not cut into segments by one of some columns.
-- Parameters: product, kind, the columns.
WITH cut AS (
    SELECT product, kind, as_of, run_id, count(DISTINCT lower(segment)) AS n_cuts
    FROM ledger.segment_profiles
    WHERE product = $1 AND kind = $2 AND column_name IS NULL
        AND lower(segment) IN (SELECT lower(unnest($3::VARCHAR[])))
    GROUP BY ALL
)
SELECT as_of
FROM ledger.published_pages AS page
LEFT JOIN cut USING (product, kind, as_of, run_id)
WHERE product = $1 AND kind = $2 AND (
    coalesce(n_cuts, 0) < len($3::VARCHAR[])
    OR NOT EXISTS (
        FROM ledger.profiles AS there
        WHERE there.product = $1 AND there.kind = $2 AND there.as_of = page.as_of AND there.run_id = page.run_id
    )
)
