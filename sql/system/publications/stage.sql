-- Publications as a file that a source reads. What counts as known before it was published is marked.
COPY (
    SELECT *, {as_if_on_time} AS as_if_on_time
    FROM ({relation})
    ORDER BY as_of, published_at
)
TO {file} (FORMAT parquet)
