-- What a target's table holds, as it says itself.
SELECT
    suite, product, write, as_of::text AS as_of, snapshot_id, published_at::text AS published_at, n_rows,
    table_oid::bigint AS table_oid
FROM almanac.exports
WHERE target_schema = {schema} AND target_table = {table}
