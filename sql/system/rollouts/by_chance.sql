-- Lists of explored units: their candidates in the order of a hash of the salt and their keys, cut off as the ranking is. No model
-- chose them, so that none is named but the arm; the score is 1 / place, as of interleaved lists.
COPY (
    SELECT as_of, {keys}, valid_until, row_number() OVER lists AS rank, 1 / row_number() OVER lists AS score,
        'explore' AS model_version, live.run_id, live.published_at
    FROM {features}
    CROSS JOIN (SELECT run_id, published_at FROM read_parquet({live}) LIMIT 1) AS live
    WHERE {given} = 'explore'
    WINDOW lists AS (PARTITION BY as_of, {list} ORDER BY md5_number_lower({text}), {keys})
    QUALIFY row_number() OVER lists <= {top}
) TO {file} (FORMAT parquet, COMPRESSION zstd)
