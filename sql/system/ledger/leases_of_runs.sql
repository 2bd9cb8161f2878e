-- Which run of the clock a run is part of: its lease, as in operations.runs. NULL for what people started.
ALTER TABLE ledger.runs ADD COLUMN IF NOT EXISTS lease VARCHAR;
