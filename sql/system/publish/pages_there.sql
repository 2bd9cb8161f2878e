-- How many rows each page of a stretch of time has in some data files, without the rows that were deleted from them.
-- Parameters: files, first, last.
SELECT as_of, count(*)
FROM read_parquet($files, filename = true, file_row_number = true, union_by_name = true) AS rows
WHERE
    as_of BETWEEN $first AND $last
    AND NOT EXISTS (
        SELECT 1
        FROM ({deletes}) AS deleted
        WHERE deleted.file_path = rows.filename AND deleted.pos = rows.file_row_number
    )
GROUP BY ALL
