-- Files that nothing refers to any more and that wait to be deleted: how many, and since when the last of them has
-- waited, in naive UTC. DuckLake keeps the instant as text in a SQLite catalogue.
SELECT count(*), make_timestamp(epoch_us(max(schedule_start::TIMESTAMPTZ)))
FROM __ducklake_metadata_lake.ducklake_files_scheduled_for_deletion
