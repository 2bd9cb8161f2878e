-- The newest snapshot committed by an instant of naive UTC.
SELECT max(snapshot_id)
FROM ducklake_snapshots('lake')
WHERE make_timestamp(epoch_us(snapshot_time)) <= $1
