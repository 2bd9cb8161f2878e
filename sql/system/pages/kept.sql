-- What is kept of the candidates of ranked lists: all of some lists, and of the others what is listed.
COPY (
    WITH features AS (FROM {features}),
    whole AS MATERIALIZED (
        SELECT as_of, {list}
        FROM (SELECT DISTINCT as_of, {list} FROM features)
        WHERE {is_kept}
    ),
    kept AS (
        SELECT as_of, {keys} FROM features SEMI JOIN whole USING (as_of, {list})
        UNION
        ({listed})
    )
    FROM features SEMI JOIN kept USING (as_of, {keys})
    {order}
) TO {file} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
