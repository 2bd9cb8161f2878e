-- Take the profiles of some publications, or those of their segments ({table}), out of the ledger.
-- Parameters: product, kind, the pages, the run that published each.
DELETE FROM ledger.{table}
WHERE product = $1 AND kind = $2 AND (as_of, run_id) IN (SELECT (unnest($3::TIMESTAMP[]), unnest($4::VARCHAR[])))
