-- What tells the profiles of the segments of a product's pages, as published at an instant, from others.
-- Parameters: product, the instant (NULL: now).
WITH published AS (
    SELECT kind, as_of, run_id
    FROM ledger.pages
    WHERE product = $1 AND state = 'published' AND ($2 IS NULL OR recorded_at <= $2)
    QUALIFY row_number() OVER (PARTITION BY kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
SELECT kind, as_of, count(*) || ' ' || bit_xor(hash(segment, column_name, scale, n_rows, n_missing, centre, counts))
FROM ledger.segment_profiles
SEMI JOIN published USING (kind, as_of, run_id)
WHERE product = $1 AND kind IN ('features', 'predictions') AND column_name IS NOT NULL AND {is_of_columns}
GROUP BY kind, as_of
