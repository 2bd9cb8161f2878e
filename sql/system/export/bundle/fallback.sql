-- The rows of PRODUCT_fallback as a bundle has them.
INSERT INTO target.fallback
SELECT place, {key_values}epoch_us(valid_until), {facts}, {prediction}
FROM {relation} AS rows
