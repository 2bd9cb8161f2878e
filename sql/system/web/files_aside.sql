-- Files that are set aside. Parameter: source or NULL for all.
SELECT since, source, path, reason, run_id
FROM rejects.files
WHERE forgotten_at IS NULL AND ($1::VARCHAR IS NULL OR source = $1)
ORDER BY since DESC, source, path
LIMIT 100
