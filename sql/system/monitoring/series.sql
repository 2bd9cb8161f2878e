-- The profiles of a product's pages, as published at an instant, series by series.
-- Those that are chosen, without counts where these are not asked for. `counts_from` is the centre of a profile, or, where
-- one is not known, that of the column's other profiles.
-- Parameters: product, the instant (NULL: now), and what is chosen by.
WITH published AS (
    SELECT kind, as_of, run_id
    FROM ledger.pages
    WHERE product = $1 AND state = 'published' AND ($2 IS NULL OR recorded_at <= $2)
    QUALIFY row_number() OVER (PARTITION BY kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
),
of_pages AS (
    SELECT profile.*, {counts_from} AS counts_from
    FROM {profiles} AS profile
    SEMI JOIN published USING (kind, as_of, run_id)
    WHERE product = $1 AND {chosen}
)
SELECT
    kind, column_name, segment, scale, model_version, as_of, run_id, n_rows, n_missing, coalesce(n_distinct, -1) AS n_distinct,
    left(values_hash, 8) AS values_hash, counts_from AS centre, CASE WHEN {has_counts} THEN bins END AS bins,
    CASE WHEN {has_counts} THEN top_values END AS top_values, CASE WHEN {has_counts} THEN counts END AS counts,
    coalesce(n_other, 0) AS n_other
FROM of_pages
ORDER BY kind, column_name, segment, scale, model_version NULLS FIRST, counts_from NULLS FIRST, as_of
