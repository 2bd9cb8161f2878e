-- What a target says of itself, as `create_own_row` made it.
SELECT suite, product, table_name, snapshot_id, published_at, n_rows
FROM {table}
