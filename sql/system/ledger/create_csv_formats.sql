-- How the CSV files of a source are read where its SELECT does not say: one row whenever something was found anew, with
-- a JSON list that has an object for each call of read_csv: the types of columns, and how dates and instants are written.
CREATE TABLE IF NOT EXISTS ledger.csv_formats (source VARCHAR, definition VARCHAR, ingest_id BIGINT, found VARCHAR);
