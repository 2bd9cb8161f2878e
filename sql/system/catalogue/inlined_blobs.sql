-- Columns of a catalogue, attached as `server`, whose inlined rows hold bytes that are no text: the table, the column.
SELECT DISTINCT inlined.table_name, columns.column_name
FROM server.public.ducklake_inlined_data_tables AS inlined
JOIN server.public.ducklake_column AS columns USING (table_id)
WHERE columns.column_type = 'blob' AND columns.parent_column IS NULL
