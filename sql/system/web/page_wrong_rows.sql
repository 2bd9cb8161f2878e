-- Rows of a page that checks found wrong. Parameters: product, as_of.
SELECT name, wrong_row, run_id
FROM ledger.wrong_rows
WHERE product = $1 AND as_of = $2
ORDER BY run_id, name, wrong_row
LIMIT 20
