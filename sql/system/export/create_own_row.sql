-- The target's own row: which publication it holds. It stands in the file that it speaks of.
CREATE TABLE {table} (
    suite VARCHAR, product VARCHAR, table_name VARCHAR, as_of VARCHAR, snapshot_id BIGINT,
    published_at VARCHAR, n_rows BIGINT, exported_at VARCHAR, run_id VARCHAR
)
