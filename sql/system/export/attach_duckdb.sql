-- Open a DuckDB target to write to it.
ATTACH {file} AS target (TYPE duckdb)
