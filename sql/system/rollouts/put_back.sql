-- What the arms of a page wrote, for the run that puts it back.
-- Parameters: product, as_of, the run and the snapshot that had published it, the run that puts it back, its snapshot.
INSERT INTO ledger.arms BY NAME
SELECT * REPLACE ($5 AS run_id, $6 AS snapshot_id)
FROM ledger.arms
WHERE product = $1 AND as_of = $2 AND run_id = $3 AND snapshot_id = $4
