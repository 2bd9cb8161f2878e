-- The profiles of some publications of one product, which lie in a stretch of time: DuckLake passes over the files of
-- other times. It reads its statistics of files for each column that is compared by itself; the others are compared
-- in lists. Parameters: product, the kinds, the pages, the run that published each, column (NULL: all), the first
-- and the last page.
SELECT {columns}
FROM ledger.profiles
WHERE as_of BETWEEN $6 AND $7
    AND list_contains(list_zip($2::VARCHAR[], $3::TIMESTAMP[], $4::VARCHAR[]), row(kind, as_of, run_id))
    AND list_contains([$1], product) AND ($5 IS NULL OR lower(column_name) = lower($5))
ORDER BY kind, as_of, column_name
