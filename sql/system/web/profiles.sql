-- How the values of a page are spread. Parameters: product, kind, as_of.
SELECT profiles.*
FROM ledger.profiles AS profiles
JOIN ledger.published_pages AS pages USING (product, kind, as_of, run_id)
WHERE profiles.product = $1 AND profiles.kind = $2 AND profiles.as_of = $3
ORDER BY profiles.column_name
