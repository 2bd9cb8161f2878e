-- Puts kept records of feature pages, or their profiles, before an instant into the ledger, of pages that it has no record
-- of; profiles go first. Parameters: the file, and the instant.
INSERT INTO ledger.{table} BY NAME
SELECT *
FROM read_parquet($1) AS kept
WHERE as_of < $2 AND NOT EXISTS (
    FROM ledger.pages AS there
    WHERE there.product = kept.product AND there.kind = 'features' AND there.as_of = kept.as_of
)
