-- How many kept records of feature pages before an instant the ledger has not got. Parameters: the file, and the instant.
SELECT count(*)
FROM read_parquet($1) AS kept
WHERE as_of < $2 AND NOT EXISTS (
    FROM ledger.pages AS there
    WHERE there.product = kept.product AND there.kind = 'features' AND there.as_of = kept.as_of
)
