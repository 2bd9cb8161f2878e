-- What was scored and is listed, with its rank; nothing else is written.
COPY (
    SELECT scored.* EXCLUDE (file_row_number), listed.rank
    FROM {scored} AS scored
    JOIN {listed} AS listed ON listed."almanac: row" = scored.file_row_number
    ORDER BY scored.as_of, {list}, rank
) TO {file} (FORMAT parquet, COMPRESSION zstd)
