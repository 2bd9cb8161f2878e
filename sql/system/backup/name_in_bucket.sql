-- Have a copy of a catalogue name files of a lake in a bucket, of data or of deleted rows, by their URLs. Run by SQLite;
-- :data is the URL of what holds them.
UPDATE {files} AS files
SET path_is_relative = 0, path = :data || (
    SELECT schemas.path || tables.path FROM ducklake_table AS tables JOIN ducklake_schema AS schemas USING (schema_id)
    WHERE tables.table_id = files.table_id
    LIMIT 1
) || path
WHERE path_is_relative
