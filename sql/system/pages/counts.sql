-- How many entities each page of a batch has.
SELECT "almanac: as_of", count(*)
FROM {entities}
GROUP BY ALL
ORDER BY ALL
