-- The pages that were tried and rejected or failed after they were last published, newest attempt first.
WITH newest AS (
    SELECT *
    FROM ledger.pages
    WHERE kind = 'predictions'
    QUALIFY row_number() OVER (PARTITION BY product, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
SELECT product, as_of, state, note, run_id
FROM newest
WHERE state <> 'published'
ORDER BY recorded_at DESC, as_of DESC
LIMIT 20
