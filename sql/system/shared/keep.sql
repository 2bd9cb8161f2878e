-- What one query gave for some pages, kept for the other products of a run that ask the same.
COPY (
    SELECT {columns}
    FROM {rows}
    WHERE "almanac: as_of" IN ({pages})
) TO {file} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
