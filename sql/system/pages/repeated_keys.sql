-- A feature group must have one row per key and page: the first key of a page that has more.
SELECT {keys}
FROM {group}
WHERE "almanac: as_of" = {as_of}
GROUP BY {keys}
HAVING count(*) > 1
ORDER BY ALL
LIMIT 1
