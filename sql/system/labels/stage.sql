-- The labels of some pages as one file: keys, page, and the outcome where there is one.
COPY (
    SELECT {keys}, "almanac: as_of" AS as_of, label::{kind} AS label
    FROM {labels}
    WHERE label IS NOT NULL
    ORDER BY "almanac: as_of"
) TO {file} (FORMAT parquet, COMPRESSION zstd)
