-- Of versions that tell classes apart, what contributions add up from, by class.
ALTER TABLE ledger.reasons ADD COLUMN IF NOT EXISTS bases MAP(VARCHAR, DOUBLE);
