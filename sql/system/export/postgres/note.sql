-- Put down which publication the table holds from this transaction on, and forget what stood there of a table that is gone.
DELETE FROM almanac.exports
WHERE target_schema = {schema} AND target_table = {table} AND table_oid <> {place}::regclass AND write = 'replace_page';
INSERT INTO almanac.exports VALUES (
    {suite}, {product}, {schema}, {table}, {place}::regclass, {write}, {as_of}, {snapshot_id}, {published_at},
    (SELECT count(*) FROM {counted}), {exported_at}, {run_id}
)
ON CONFLICT (target_schema, target_table, as_of) DO UPDATE SET
    suite = excluded.suite, product = excluded.product, table_oid = excluded.table_oid, write = excluded.write,
    snapshot_id = excluded.snapshot_id, published_at = excluded.published_at, n_rows = excluded.n_rows,
    exported_at = excluded.exported_at, run_id = excluded.run_id
