-- Open a SQLite target to write to it.
ATTACH {file} AS target (TYPE sqlite)
