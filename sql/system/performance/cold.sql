-- Whether a condition, which is to be true or false, can be asked of a product's feature pages; no row is read.
SELECT ({condition}) AND true
FROM features.{product}
LIMIT 0
