-- A derivation's facts or rejects, in the order in which a page reads them.
COPY (
    SELECT *
    FROM {table}
    ORDER BY {order}
) TO {file} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)
