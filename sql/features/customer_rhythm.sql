/*
description: >
  How regularly each customer comes: the days between the days on which they bought. Who has bought on one day only
  has no rhythm, and no row here.
owner: shop-data
key: [customer_id]
*/
WITH days AS (
    SELECT DISTINCT customer_id, bought_on
    FROM purchases
),

gaps AS (
    SELECT
        customer_id,
        bought_on,
        date_diff('day', lag(bought_on) OVER (PARTITION BY customer_id ORDER BY bought_on), bought_on) AS gap
    FROM days
)

SELECT
    customer_id,
    count(*) AS days_bought_on,
    avg(gap) AS gap_mean,
    max(gap) AS gap_longest,
    max_by(gap, bought_on ORDER BY bought_on) AS gap_newest,
    date_diff('day', max(bought_on), $as_of::DATE) / avg(gap) AS overdue      -- 1: as long ago as usual
FROM gaps
GROUP BY customer_id
HAVING count(*) > 1
