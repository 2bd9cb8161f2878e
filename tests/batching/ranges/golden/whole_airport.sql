-- No GROUP BY: one row a page, whatever it reads; a local day as a bound.
SELECT sum(arrival_delay) AS delay, max(known_at) AS newest, count(DISTINCT carrier) AS carriers
FROM landings
WHERE known_at >= timezone('America/New_York', date_trunc('day', timezone('America/New_York', timezone('UTC', $as_of))))
  AND NOT cancelled
