-- The tables of a SQLite catalogue, attached as `old`, in which the rows of each table of the newest state are put that
-- come ten or fewer at a time: the table's schema, name and number, and the version of its columns.
SELECT schemas.schema_name, tables.table_name, tables.table_id, max(inlined.schema_version::BIGINT)
FROM old.ducklake_inlined_data_tables AS inlined
JOIN old.ducklake_table AS tables ON tables.table_id = inlined.table_id AND tables.end_snapshot IS NULL
JOIN old.ducklake_schema AS schemas ON schemas.schema_id = tables.schema_id AND schemas.end_snapshot IS NULL
GROUP BY schemas.schema_name, tables.table_name, tables.table_id
ORDER BY tables.table_id
