-- The rows that one shard has of a query, for tasks to read that put the page together. Parquet has no HUGEINT.
COPY (
    SELECT {columns}
    FROM {table}
    WHERE {shown}
) TO {file} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
