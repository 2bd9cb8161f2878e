-- Read all values of a Parquet file, and count its rows. Parameter: its path, as a pattern.
SELECT count(*), bit_xor(hash(COLUMNS(*)))
FROM read_parquet($1)
