-- Stream rows into a table of the server; DuckDB takes PostgreSQL's binary COPY for this.
INSERT INTO {place} ({columns})
{rows}
