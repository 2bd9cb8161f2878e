-- How many bytes the data files have that were written after one of them, as far as a snapshot shows them. Parameter: its
-- number.
SELECT sum(file_size_bytes)
FROM __ducklake_metadata_lake.ducklake_data_file
WHERE data_file_id > $1
