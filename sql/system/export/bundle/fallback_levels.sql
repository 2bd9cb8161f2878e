-- The levels that PRODUCT_fallback has, the finest first.
SELECT DISTINCT place, level, columns
FROM {relation}
ORDER BY place
