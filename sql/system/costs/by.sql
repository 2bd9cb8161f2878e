-- What runs cost, added up. Parameters: from, to (excluded; NULL for no limit). `other_costs` are those of runs
-- that are not in the ledger.
SELECT
    {by} AS {by}, count(*) AS runs, sum(cpu_s) AS cpu_s, sum(wall_s) AS wall_s,
    max(peak_memory_bytes) AS peak_memory_bytes,
    sum(n_rows)::BIGINT AS "rows", sum(bytes_written)::BIGINT AS bytes_written
FROM ({costs} UNION ALL BY NAME FROM other_costs)
WHERE ($1 IS NULL OR started_at >= $1) AND ($2 IS NULL OR started_at < $2)
GROUP BY ALL
ORDER BY cpu_s DESC
