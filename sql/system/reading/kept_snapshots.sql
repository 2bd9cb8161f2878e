-- The snapshots of a stretch that can still be read, the newest first. Parameters: first, last (both included).
SELECT snapshot_id
FROM ducklake_snapshots('lake')
WHERE snapshot_id BETWEEN $1 AND $2
ORDER BY snapshot_id DESC
