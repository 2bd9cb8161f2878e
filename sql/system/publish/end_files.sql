-- Takes data files out of a lake's newest state. Parameters: the snapshot from which on they are gone, their ids.
UPDATE __ducklake_metadata_lake.{table}
SET end_snapshot = $1
WHERE end_snapshot IS NULL AND list_contains($2, data_file_id)
