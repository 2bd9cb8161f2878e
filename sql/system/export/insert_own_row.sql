-- Parameters: the suite's id, product, table, as_of, snapshot, when it was published, number of rows, instant, run.
INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
