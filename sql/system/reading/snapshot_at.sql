-- The snapshot that was the newest at an instant, the next one that is kept, and the instant of the oldest one that is.
-- Parameter: the instant, naive UTC. Snapshots bear the time of the machine that made them; where a clock was set back,
-- numbers count.
WITH kept AS (
    SELECT
        snapshot_id,
        snapshot_time AT TIME ZONE 'UTC' AS committed_at,
        coalesce(lead(snapshot_id) OVER (ORDER BY snapshot_id), snapshot_id + 1) AS following
    FROM ducklake_snapshots('lake')
)
SELECT
    max(snapshot_id) FILTER (committed_at <= $1),
    arg_max(following, snapshot_id) FILTER (committed_at <= $1),
    min(committed_at)
FROM kept
