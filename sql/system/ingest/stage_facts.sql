-- The accepted rows, in the order in which they became known, so that a page reads few row groups.
COPY (
    SELECT {columns}, "almanac: known_at" AS known_at, {ingest_id}::BIGINT AS ingest_id, "almanac: withdrawn" AS withdrawn
    FROM judged
    WHERE "almanac: reason" IS NULL
    ORDER BY "almanac: known_at", {key}
) TO {file} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)
