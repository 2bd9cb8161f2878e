-- Of a table's files, how many are smaller than a number of bytes, and how many hold rows that were replaced since.
-- Parameters: table, schema, bytes.
SELECT count(*) FILTER (data_file_size_bytes < $3), count(delete_file)
FROM ducklake_list_files('lake', $1, schema => $2)
