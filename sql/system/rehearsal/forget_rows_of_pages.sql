-- Takes out of a table of the ledger the rows of publications that the ledger has not got. A run that makes features and
-- predictions of a page gives both the same run_id, so the kind of page counts too. Parameter: the product.
DELETE FROM ledger.{table}
WHERE product = $1 AND NOT EXISTS (
    FROM ledger.pages AS pages
    WHERE pages.product = $1 AND pages.kind = {kind} AND pages.run_id = {table}.run_id {as_of}
)
