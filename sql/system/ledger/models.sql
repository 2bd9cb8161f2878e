-- A product's model versions, in the order in which they were registered: a clock may have been set back in between.
-- Parameter: product.
SELECT {columns}
FROM ledger.models
WHERE product = $1
ORDER BY rowid
