-- The median of each column on each of some pages, of the values that are neither missing nor infinite.
SELECT as_of, {medians}
FROM {rows}
WHERE as_of IN ({pages})
GROUP BY as_of
ORDER BY as_of
