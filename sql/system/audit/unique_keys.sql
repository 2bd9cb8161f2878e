-- Every entity has one prediction on a page.
SELECT as_of, {keys}, count(*) AS times
FROM {predictions}
GROUP BY ALL
HAVING count(*) > 1
