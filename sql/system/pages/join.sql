-- The feature pages of a batch, put together by `joined`, as a file.
COPY (
{rows}
) TO {file} (FORMAT parquet, COMPRESSION {compression})
