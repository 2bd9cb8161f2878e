-- The target's own rows: which publication each table holds, by page, or under -infinity where it holds what is current.
-- They are written in the transaction that writes the table.
CREATE SCHEMA IF NOT EXISTS almanac;
CREATE TABLE almanac.exports (
    suite text, product text, target_schema text, target_table text, table_oid oid, write text, as_of timestamp,
    snapshot_id bigint, published_at timestamp, n_rows bigint, exported_at timestamp, run_id text,
    PRIMARY KEY (target_schema, target_table, as_of)
)
