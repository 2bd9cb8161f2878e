-- The newest snapshot committed by an instant of naive UTC, and the next one that is still kept.
SELECT
    max(snapshot_id) FILTER (make_timestamp(epoch_us(snapshot_time)) <= $1),
    min(snapshot_id) FILTER (make_timestamp(epoch_us(snapshot_time)) > $1)
FROM ducklake_snapshots('lake')
