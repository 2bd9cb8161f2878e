-- The rows that were turned away, with the reason. None is dropped.
COPY (
    SELECT {columns}, "almanac: withdrawn" AS withdrawn, {ingest_id}::BIGINT AS ingest_id, "almanac: reason" AS reason
    FROM judged
    WHERE "almanac: reason" IS NOT NULL
    ORDER BY {key}
) TO {file} (FORMAT parquet, COMPRESSION zstd)
