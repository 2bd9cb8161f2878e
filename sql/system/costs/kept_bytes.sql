-- How much the lake has kept, by table and month, in GiB-months: each data file that the catalogue still names, for as
-- long as it was or is part of the newest state. What upkeep has deleted is not there any more; of files whose first
-- snapshot was let go of, the time counts from the next one that is kept. Parameters: from, to (to at most now).
WITH snapshots AS (
    SELECT snapshot_id, make_timestamp(epoch_us(snapshot_time)) AS made_at
    FROM ducklake_snapshots('lake')
),

files AS (
    SELECT
        schemas.schema_name, tables.table_name, files.file_size_bytes AS n_bytes,
        (SELECT min(made_at) FROM snapshots WHERE snapshot_id >= files.begin_snapshot) AS since,
        (SELECT min(made_at) FROM snapshots WHERE snapshot_id >= files.end_snapshot) AS until
    FROM __ducklake_metadata_lake.ducklake_data_file AS files
    JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
    JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
    WHERE tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
),

clipped AS (
    SELECT * REPLACE (
        greatest(since, coalesce($1::TIMESTAMP, since)) AS since,
        least(coalesce(until, $2::TIMESTAMP), $2::TIMESTAMP) AS until
    )
    FROM files
),

months AS (
    SELECT unnest(generate_series(date_trunc('month', min(since)), max(until), INTERVAL 1 MONTH)) AS month
    FROM clipped
)

SELECT
    strftime(month, '%Y-%m') AS month, schema_name, table_name,
    sum(n_bytes / 1024.0 ** 3 * epoch(least(until, month + INTERVAL 1 MONTH) - greatest(since, month))
        / epoch((month + INTERVAL 1 MONTH) - month)) AS gib_months
FROM clipped
JOIN months ON since < month + INTERVAL 1 MONTH AND until > month AND since < until
GROUP BY ALL
ORDER BY ALL
