-- What the ledger has gained since its tables were first made. Run on new lakes, and before a model's life is
-- written about in old ones; where everything is there already it changes nothing.

-- How a version was trained, and what was learned of it then.
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS reason VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS parent VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS pipeline VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS threads BIGINT;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS platform VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS rows_hash VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS validation VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS importance MAP(VARCHAR, DOUBLE);
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS cost MAP(VARCHAR, DOUBLE);

-- Whether it was promoted or rolled back to, in spite of its gates or not, and by which commit.
ALTER TABLE ledger.promotions ADD COLUMN IF NOT EXISTS action VARCHAR;
ALTER TABLE ledger.promotions ADD COLUMN IF NOT EXISTS forced BOOLEAN;
ALTER TABLE ledger.promotions ADD COLUMN IF NOT EXISTS snapshot_id BIGINT;

-- One row for each decision on a version: to promote it, to retire it, to go back to it; whether its gates passed.
CREATE TABLE IF NOT EXISTS ledger.decisions (
    decision_id VARCHAR, product VARCHAR, version VARCHAR, action VARCHAR, against VARCHAR,
    passed BOOLEAN, forced BOOLEAN, taken BOOLEAN, effective_from TIMESTAMP,
    decided_at TIMESTAMP, decided_by VARCHAR, reason VARCHAR, snapshot_id BIGINT
);

-- One row for each gate of each decision, with its figures.
CREATE TABLE IF NOT EXISTS ledger.gates (
    decision_id VARCHAR, product VARCHAR, version VARCHAR, gate VARCHAR, passed BOOLEAN,
    figure DOUBLE, low DOUBLE, high DOUBLE, bound VARCHAR, n_rows BIGINT, n_pages BIGINT, message VARCHAR
);
