-- Figures of a column of each staged page, which product.yaml bounds.
SELECT as_of, {figures}
FROM {rows}
GROUP BY as_of
ORDER BY as_of
