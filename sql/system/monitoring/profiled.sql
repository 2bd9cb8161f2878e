-- Which pages of a product, as published at an instant, have profiles, and what tells these from others.
-- Parameters: product, the instant (NULL: now).
WITH published AS (
    SELECT kind, as_of, run_id
    FROM ledger.pages
    WHERE product = $1 AND state = 'published' AND ($2 IS NULL OR recorded_at <= $2)
    QUALIFY row_number() OVER (PARTITION BY kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
SELECT kind, as_of, run_id || ' ' || bit_xor(hash(column_name, scale, n_missing, n_distinct, values_hash, low, high))
FROM ledger.profiles
SEMI JOIN published USING (kind, as_of, run_id)
WHERE product = $1 AND kind IN ('features', 'predictions')
GROUP BY kind, as_of, run_id
