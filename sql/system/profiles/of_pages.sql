-- The profiles of some publications of one product and kind, which lie in a stretch of time: DuckLake passes over the
-- files of other times. Parameters: product, kind, the pages, the run that published each, column (NULL: all), the
-- first and the last page.
SELECT {columns}
FROM ledger.profiles
SEMI JOIN (SELECT unnest($3::TIMESTAMP[]) AS as_of, unnest($4::VARCHAR[]) AS run_id) USING (as_of, run_id)
WHERE product = $1 AND kind = $2 AND as_of BETWEEN $6 AND $7 AND ($5 IS NULL OR lower(column_name) = lower($5))
ORDER BY as_of, column_name
