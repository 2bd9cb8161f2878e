-- Why rows of a source were rejected, and how many.
SELECT reason, count(*) AS rows, max(ingest_id) AS last_ingest_id
FROM {table}
GROUP BY reason
ORDER BY rows DESC, reason
LIMIT 100
