-- Write a table's files anew of whose rows a share has been replaced. What earlier snapshots show stays the same.
-- Parameters: table, schema, the share.
CALL ducklake_rewrite_data_files('lake', $1, schema => $2, delete_threshold => $3)
