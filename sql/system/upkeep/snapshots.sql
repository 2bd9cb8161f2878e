-- Every snapshot that can still be read, with the instant of its commit in naive UTC, the oldest first.
SELECT snapshot_id, make_timestamp(epoch_us(snapshot_time))
FROM ducklake_snapshots('lake')
ORDER BY snapshot_id
