-- Feature pages of a product whose rows another product's pages hold: the columns that this one has of them.
SELECT {columns}
FROM {lake}.features.{lender}
WHERE as_of IN ({pages})
