-- The columns of feature pages made under a set of definitions, with their types, where they were recorded; else NULL.
-- Parameter: the definitions' hash. Not by WHERE, for which DuckLake reads its statistics of files, nor by ORDER BY and
-- LIMIT, for which DuckDB reads the table twice.
SELECT max_by(page_columns, recorded_at) FILTER (definitions = $1 AND len(map_keys(page_columns)) > 0)
FROM ledger.definitions
