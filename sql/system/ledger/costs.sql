-- What the newest runs that made pages of a product cost. Parameters: product, job.
SELECT n_pages, n_rows, wall_s, peak_memory_bytes
FROM ledger.runs
WHERE product = $1 AND job = $2 AND state = 'succeeded' AND n_pages > 0
ORDER BY finished_at DESC
LIMIT 50
