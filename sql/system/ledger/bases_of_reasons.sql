-- Of versions that tell classes apart, what contributions add up from, of each class, in the order of the version's.
ALTER TABLE ledger.reasons ADD COLUMN IF NOT EXISTS bases DOUBLE[];
