-- The pages and keys that are looked up, and that no product of the run has looked up before.
(
    SELECT as_of, {keys}
    FROM {wanted} AS wanted
    EXCEPT
    SELECT as_of, {keys}
    FROM read_parquet({file})
)
