-- What came over the wire, before the source's SELECT. The order makes equal rows equal bytes.
COPY (
    FROM {rows}
    ORDER BY ALL
) TO {file} (FORMAT parquet, COMPRESSION zstd)
