-- The rows of all arms of some staged pages: those that are served, or those that are not. {given} says which version's row is
-- served, and {arm} by which arm: explored units have the live version's row, and an arm of their own.
COPY (
    SELECT scored.*, {arm} AS arm
    FROM read_parquet([{files}], union_by_name = true) AS scored
    {join}
    WHERE scored.model_version {compared} {given}
    ORDER BY as_of, {keys}
) TO {file} (FORMAT parquet, COMPRESSION zstd)
