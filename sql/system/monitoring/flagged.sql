-- Columns with an acute finding, by page. Parameters: product, first page, last page.
SELECT kind, column_name, as_of
FROM ledger.newest_drift
WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND column_name IS NOT NULL AND segment IS NULL AND reference = 'season'
    AND len(flags) > 0
