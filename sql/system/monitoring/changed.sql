-- Judgements that differ from what was last judged of the same page, column, segment and reference.
-- `judged_now` holds them, in the columns of ledger.drift but for known_by and snapshot_id. 
-- Parameters: product, the first page that was judged.
WITH newest AS (
    SELECT * EXCLUDE (known_by, snapshot_id)
    FROM ledger.newest_drift
    WHERE product = $1 AND as_of >= $2
)
SELECT *
FROM judged_now
EXCEPT
SELECT *
FROM newest
