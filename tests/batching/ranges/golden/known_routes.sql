-- Keys alone, an expression among them, and HAVING.
SELECT origin || '-' || dest AS route, carrier
FROM landings
GROUP BY ALL
HAVING count(*) > 10
