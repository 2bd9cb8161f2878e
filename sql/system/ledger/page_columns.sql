-- The columns of feature pages made under a set of definitions, with their types, where they were recorded.
-- Parameter: the definitions' hash.
SELECT page_columns
FROM ledger.definitions
WHERE definitions = $1 AND page_columns IS NOT NULL AND len(map_keys(page_columns)) > 0
ORDER BY recorded_at DESC
LIMIT 1
