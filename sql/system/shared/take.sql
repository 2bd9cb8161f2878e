-- Rows that another product of the run has worked out for these pages; SEMI JOIN leaves those of keys that are looked up.
INSERT INTO {target} BY NAME
SELECT *
FROM read_parquet({file}) AS kept
{looked_up}
WHERE "almanac: as_of" IN ({pages})
