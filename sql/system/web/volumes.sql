-- How many facts of a source became known on each of the last 400 days that had some (days of UTC).
SELECT known_at::DATE AS day, count(*) AS facts
FROM {table}
GROUP BY day
ORDER BY day DESC
LIMIT 400
