-- The texts of the operational state on a server: table, column. Run by PostgreSQL.
SELECT columns.table_name, columns.column_name
FROM information_schema.columns AS columns
WHERE columns.table_schema = 'almanac' AND columns.data_type = 'text'
    AND columns.table_name NOT IN ('lake', 'writer', 'state_format')
ORDER BY columns.table_name, columns.ordinal_position
