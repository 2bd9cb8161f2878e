-- Judgements that differ from what was last judged of the same page, column, segment and reference.
-- `judged_now` holds them, in the columns of ledger.drift but for known_by and snapshot_id. Parameter: product.
WITH newest AS (
    SELECT * EXCLUDE (known_by, snapshot_id)
    FROM ledger.newest_drift
    WHERE product = $1
)
SELECT *
FROM judged_now
EXCEPT
SELECT *
FROM newest
