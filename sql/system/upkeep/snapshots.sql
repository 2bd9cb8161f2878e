-- Every snapshot that can still be read, with the instant (naive UTC) at which its transaction began, the oldest first.
SELECT snapshot_id, make_timestamp(epoch_us(snapshot_time))
FROM ducklake_snapshots('lake')
ORDER BY snapshot_id
