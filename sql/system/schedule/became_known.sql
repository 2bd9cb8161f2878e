-- Whether any fact of a source became known from one instant to another, the second left out. Parameters: the instants.
SELECT 1
FROM {source}
WHERE known_at >= $1 AND known_at < $2
LIMIT 1
