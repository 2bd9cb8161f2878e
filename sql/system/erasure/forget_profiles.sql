-- Forget the profiles of pages, or those of their segments ({table}): extremes and rare values on them may be those of one person. Parameters: product, kind,
-- pages.
DELETE FROM ledger.{table}
WHERE product = $1 AND kind = $2 AND list_contains($3::TIMESTAMP[], as_of)
