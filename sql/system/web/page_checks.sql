-- The checks of a page, those of its newest attempts first. Parameters: product, as_of.
SELECT checks.name, checks.severity, checks.passed, checks.wrong_rows, checks.message, checks.run_id
FROM ledger.checks AS checks
LEFT JOIN ledger.runs AS runs ON runs.run_id = checks.run_id
WHERE checks.product = $1 AND checks.as_of = $2
ORDER BY runs.finished_at DESC, checks.run_id, checks.passed, checks.name
LIMIT 60
