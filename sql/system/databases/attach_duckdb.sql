-- Open a DuckDB database that a source reads.
ATTACH {file} AS db (TYPE duckdb, READ_ONLY)
