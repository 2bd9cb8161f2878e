-- The snapshot that was the newest at an instant, and the instant of the oldest one that is kept. Parameter: the
-- instant, naive UTC. Snapshots bear the time of the machine that made them; where a clock was set back, numbers count.
SELECT max(snapshot_id) FILTER (snapshot_time AT TIME ZONE 'UTC' <= $1), min(snapshot_time AT TIME ZONE 'UTC')
FROM ducklake_snapshots('lake')
