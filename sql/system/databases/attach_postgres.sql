-- Reach a PostgreSQL database, to read it or to write to it.
ATTACH {place} AS {alias} (TYPE postgres, {mode})
