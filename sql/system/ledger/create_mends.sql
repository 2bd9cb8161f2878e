-- What earlier versions had left wrong in this lake and was put right: of which kind, and where. A lake that has this
-- table was looked through. See warehouse/lake/mending.py.
CREATE TABLE IF NOT EXISTS ledger.mends (mend VARCHAR, thing VARCHAR);
