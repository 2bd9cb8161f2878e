-- The first of each list, by score, those of equal scores by their keys; nothing else is written.
COPY (
    SELECT *, row_number() OVER (PARTITION BY as_of, {list} ORDER BY {score} DESC, {keys}) AS rank
    FROM {scored}
    QUALIFY rank <= {top}
    ORDER BY as_of, {list}, rank
) TO {file} (FORMAT parquet, COMPRESSION zstd)
