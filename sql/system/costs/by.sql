-- What runs cost, added up, of each month by itself where that is asked for. Parameters: from, to (excluded; NULL for no
-- limit). {runs} are the runs in the lake's ledger.
-- `other_costs` are those of runs of the clock, less what the ledger has of them: the two are matched by the lease, since
-- their instants may come from two clocks.
WITH known AS (
    SELECT {lease} AS lease, sum(cpu_s) AS cpu_s, sum(wall_s) AS wall_s
    FROM {runs}
    GROUP BY ALL
),
beside AS (
    SELECT other_costs.* EXCLUDE (lease) REPLACE (
        greatest(other_costs.cpu_s - coalesce(known.cpu_s, 0), 0) AS cpu_s,
        greatest(other_costs.wall_s - coalesce(known.wall_s, 0), 0) AS wall_s
    )
    FROM other_costs
    LEFT JOIN known USING (lease)
)
SELECT
    {month}{by} AS {by}, count(*) AS runs, sum(cpu_s) AS cpu_s, sum(wall_s) AS wall_s,
    max(peak_memory_bytes) AS peak_memory_bytes,
    sum(n_rows)::BIGINT AS "rows", sum(bytes_written)::BIGINT AS bytes_written
FROM (
    SELECT
        run_id, job, product, owner, team, state, started_at, finished_at,
        cpu_s, wall_s, peak_memory_bytes, n_rows, bytes_written
    FROM {runs}
    UNION ALL BY NAME
    FROM beside
)
WHERE ($1 IS NULL OR started_at >= $1) AND ($2 IS NULL OR started_at < $2)
GROUP BY ALL
ORDER BY {order}cpu_s DESC
