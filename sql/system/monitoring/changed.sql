-- Judgements that differ from what was last judged of the same page, column, segment and reference. Segments that a page
-- has no more, since it was made again or others are watched, have no rows from now on.
-- `judged_now` holds what was judged, in the columns of ledger.drift but for known_by and snapshot_id.
-- Parameters: product, the first page that was judged.
WITH newest AS (
    SELECT * EXCLUDE (known_by, snapshot_id)
    FROM ledger.newest_drift
    WHERE product = $1 AND as_of >= $2
),
gone AS (
    SELECT newest.product, newest.kind, newest.as_of, newest.column_name, newest.segment, newest.reference, now.run_id
    FROM newest
    JOIN judged_now AS now ON now.as_of = newest.as_of AND now.column_name IS NULL AND now.segment IS NULL
    WHERE newest.segment IS NOT NULL AND newest.n_rows > 0 AND NOT EXISTS (
        FROM judged_now AS there
        WHERE there.as_of = newest.as_of AND there.kind = newest.kind AND there.segment = newest.segment
            AND there.column_name IS NOT DISTINCT FROM newest.column_name
    )
)
(
    SELECT *
    FROM judged_now
    EXCEPT
    SELECT *
    FROM newest
)
UNION ALL BY NAME
SELECT *, 'no evidence' AS state, 0 AS n_rows, []::VARCHAR[] AS flags
FROM gone
