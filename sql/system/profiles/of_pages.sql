-- The profiles of some publications of one product, which lie in a stretch of time: DuckLake passes over the files of
-- other times. Parameters: product, the kinds, the pages, the run that published each, column (NULL: all), the first
-- and the last page.
SELECT {columns}
FROM ledger.profiles
SEMI JOIN (
    SELECT unnest($2::VARCHAR[]) AS kind, unnest($3::TIMESTAMP[]) AS as_of, unnest($4::VARCHAR[]) AS run_id
) USING (kind, as_of, run_id)
WHERE product = $1 AND as_of BETWEEN $6 AND $7 AND ($5 IS NULL OR lower(column_name) = lower($5))
ORDER BY kind, as_of, column_name
