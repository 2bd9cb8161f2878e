-- Whether a condition, which is to be true or false, can be asked of each row of a product's feature pages; none is read.
SELECT as_of, {asked}
FROM features.{product}
LIMIT 0
