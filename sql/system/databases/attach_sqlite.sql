-- Open a SQLite database that a source reads.
ATTACH {file} AS db (TYPE sqlite, READ_ONLY)
