-- Rows of an example that the source would turn away, with what is wrong with each.
SELECT concat_ws('; ', {broken})
FROM {given}
WHERE coalesce({broken}) IS NOT NULL
ORDER BY "almanac: position"
