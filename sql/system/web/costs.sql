-- What runs cost, by month, the newest first.
SELECT
    strftime(started_at, '%Y-%m') AS month, {by}, count(*) AS runs, sum(cpu_s) AS cpu_s, sum(wall_s) AS wall_s,
    max(peak_memory_bytes) AS peak_memory_bytes, sum(n_rows)::BIGINT AS rows, sum(bytes_written)::BIGINT AS bytes_written
FROM ledger.costs
GROUP BY ALL
ORDER BY month DESC, cpu_s DESC, {by}
LIMIT 200
