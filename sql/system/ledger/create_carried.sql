-- What an acute rule compared on a page and what that had to be over, what the evidence of a column had come to, and what
-- the judgement of a page follows from: so that the next page can be judged from the ledger.
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS is_level BOOLEAN;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS score_bound DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS missing_change DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS missing_bound DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS spread_change DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS spread_bound DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS carried DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS waiting DOUBLE;
ALTER TABLE ledger.drift ADD COLUMN IF NOT EXISTS basis VARCHAR;
CREATE OR REPLACE VIEW ledger.newest_drift AS
SELECT *
FROM ledger.drift
QUALIFY row_number() OVER (
    PARTITION BY product, kind, as_of, column_name, segment, reference ORDER BY snapshot_id DESC
) = 1;

-- What the profiles of the pages that a version was trained on add up to.
CREATE TABLE IF NOT EXISTS ledger.training_profiles (
    product VARCHAR, model_version VARCHAR, basis VARCHAR, column_name VARCHAR, scale VARCHAR, centre DOUBLE,
    n_pages BIGINT, n_rows BIGINT, n_missing BIGINT, bins BIGINT[], top_values VARCHAR[], counts BIGINT[]
);
