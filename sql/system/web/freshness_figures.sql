-- Figures of one measurement of what fresh data is worth. Placeholder: columns. Parameters: measurement, kind.
SELECT {columns}
FROM ledger.freshness_figures
WHERE freshness_id = $1 AND kind = $2
ORDER BY cutoff, CASE WHEN kind = 'policy' THEN -days ELSE days END, name
