-- Which facts are facts under which definition of their source.

-- One row for each derivation that was made, and one more when it is dropped. `definition` is the fingerprint of the
-- source less `arrives_within`, `text` its file. The newest derivation of a source is the table sources.NAME; an
-- older one is "NAME@derivation".
CREATE TABLE IF NOT EXISTS ledger.derivations (
    source VARCHAR, derivation BIGINT, definition VARCHAR, text VARCHAR, state VARCHAR, way VARCHAR, parent BIGINT,
    n_deliveries BIGINT, n_gone BIGINT, recorded_at TIMESTAMP, run_id VARCHAR, snapshot_id BIGINT
);

-- The derivation that an ingestion belongs to, and the columns that its delivery had. NULL: the first derivation.
ALTER TABLE ledger.ingestions ADD COLUMN IF NOT EXISTS derivation BIGINT;
ALTER TABLE ledger.ingestions ADD COLUMN IF NOT EXISTS columns MAP(VARCHAR, VARCHAR);

-- Which derivation of each source a set of definitions reads.
ALTER TABLE ledger.definitions ADD COLUMN IF NOT EXISTS derivations MAP(VARCHAR, BIGINT);
