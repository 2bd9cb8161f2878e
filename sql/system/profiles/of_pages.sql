-- The profiles of published pages of one product and kind. Parameters: product, kind, pages, column (NULL: all).
SELECT {columns}
FROM ledger.profiles AS profile
SEMI JOIN ledger.published_pages AS page USING (product, kind, as_of, run_id)
WHERE product = $1 AND kind = $2 AND list_contains($3, as_of) AND ($4 IS NULL OR lower(column_name) = lower($4))
ORDER BY as_of, column_name
