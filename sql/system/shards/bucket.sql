-- One bucket of a staged file, in the order of the whole.
COPY (
    SELECT * FROM read_parquet({rows}) WHERE hash({key}) % {n} = {bucket}
) TO {file} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)
