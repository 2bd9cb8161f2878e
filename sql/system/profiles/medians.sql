-- The median of each column on each of some pages, of the values that are neither missing nor infinite; of a large page
-- among the rows whose keys fall into the first of so many parts.
SELECT as_of, {medians}
FROM {rows}
WHERE as_of IN ({pages}) AND hash({keys}) % {n_parts} = 0
GROUP BY as_of
ORDER BY as_of
