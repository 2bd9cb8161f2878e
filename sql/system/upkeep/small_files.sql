-- How many of a table's files are smaller than a number of bytes. Parameters: table, schema, bytes.
SELECT count(*)
FROM ducklake_list_files('lake', $1, schema => $2)
WHERE data_file_size_bytes < $3
