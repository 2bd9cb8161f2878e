-- What a staged file holds: its rows, and a sum over them that does not depend on their order.
SELECT count(*), coalesce(sum(hash({keys})), 0)::VARCHAR
FROM read_parquet($1)
