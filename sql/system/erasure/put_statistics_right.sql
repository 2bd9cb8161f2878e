-- Say what the least and greatest value of a column are. Parameters: the ids of the table and the column, both values.
UPDATE __ducklake_metadata_lake.ducklake_table_column_stats
SET min_value = $3, max_value = $4
WHERE table_id = $1 AND column_id = $2
