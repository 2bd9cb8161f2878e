-- Keys that several rows of a page share, with how many those are; no row if each has its own.
SELECT {keys}, count(*)
FROM {relation}
GROUP BY {keys}
HAVING count(*) > 1
ORDER BY ALL
LIMIT 1
