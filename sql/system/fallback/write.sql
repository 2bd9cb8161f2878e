-- The sums of labels of a page that this commit publishes. Parameters: the staged file, the run.
INSERT INTO ledger.label_sums BY NAME
SELECT *, $2 AS run_id FROM read_parquet($1)
