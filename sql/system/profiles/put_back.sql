-- The profile of a page, or those of its segments ({table}), that is put back, for the run that puts it back.
-- Parameters: product, kind, as_of, the run that had published it, the run that puts it back.
INSERT INTO ledger.{table} BY NAME
SELECT * REPLACE ($5 AS run_id)
FROM ledger.{table}
WHERE product = $1 AND kind = $2 AND as_of = $3 AND run_id = $4
