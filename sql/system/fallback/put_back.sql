-- The sums of labels of a page that is put back, for the run that puts it back.
-- Parameters: product, as_of, the run that had published it, the run that puts it back.
INSERT INTO ledger.label_sums BY NAME
SELECT * REPLACE ($4 AS run_id)
FROM ledger.label_sums
WHERE product = $1 AND as_of = $2 AND run_id = $3
