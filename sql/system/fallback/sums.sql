-- What the labels of some pages came to, by the groups of each level of `fallback`.
COPY (
    WITH labelled AS (
        SELECT labels.as_of, labels.label, {columns}
        FROM read_parquet({labels}) AS labels
        JOIN {features} AS features USING (as_of, {keys})
    )
    {levels}
) TO {file} (FORMAT parquet)
