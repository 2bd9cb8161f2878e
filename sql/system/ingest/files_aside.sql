-- The files that are set aside, newest first. Parameters: source, or NULL for all; whether those forgotten count.
SELECT source, path, sha256, reason, definition, since, forgotten_at
FROM rejects.files
WHERE ($1 IS NULL OR source = $1) AND ($2 OR forgotten_at IS NULL)
ORDER BY since DESC, source, path
