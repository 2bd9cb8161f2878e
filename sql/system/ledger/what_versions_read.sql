-- Which columns a version reads, of which types, and which label it learnt.
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS feature_types MAP(VARCHAR, VARCHAR);
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS label_kind VARCHAR;
ALTER TABLE ledger.models ADD COLUMN IF NOT EXISTS label_definition VARCHAR;

-- The columns of feature pages made under a set of definitions, with their types.
ALTER TABLE ledger.definitions ADD COLUMN IF NOT EXISTS page_columns MAP(VARCHAR, VARCHAR);
