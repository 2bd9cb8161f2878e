-- A feature group must have one row per key and page: the first key that has more.
SELECT {keys}
FROM {group}
GROUP BY "almanac: as_of", {keys}
HAVING count(*) > 1
ORDER BY ALL
LIMIT 1
