-- What came over the wire, before the source's SELECT. The order makes equal rows equal bytes.
COPY (
    SELECT *
    FROM {relation} AS delivered
    WHERE {condition}
    ORDER BY ALL
) TO {file} (FORMAT parquet, COMPRESSION zstd)
