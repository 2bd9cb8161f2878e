-- The rows of all arms of some staged pages: those that are served, or those that are not. {given} says who serves a row.
COPY (
    SELECT scored.*, scored.model_version AS arm
    FROM read_parquet([{files}], union_by_name = true) AS scored
    {join}
    WHERE scored.model_version {compared} {given}
    ORDER BY as_of, {keys}
) TO {file} (FORMAT parquet, COMPRESSION zstd)
