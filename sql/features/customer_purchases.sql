/*
description: >
  What each customer has bought, ever and over the last 4, 12 and 26 weeks: purchases, CDs and dollars. Days are
  counted to the page; a customer's first purchase says when they came.
owner: shop-data
key: [customer_id]
*/
SELECT
    customer_id,

    count(*) AS purchases_ever,
    sum(cds) AS cds_ever,
    sum(dollars) AS dollars_ever,
    avg(dollars) AS dollars_per_purchase,
    max(dollars) AS dollars_at_most,
    date_diff('day', min(bought_on), $as_of::DATE) AS days_since_first,
    date_diff('day', max(bought_on), $as_of::DATE) AS days_since_last,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 28 DAY) AS purchases_4w,
    sum(dollars) FILTER (WHERE known_at >= $as_of - INTERVAL 28 DAY) AS dollars_4w,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 84 DAY) AS purchases_12w,
    sum(dollars) FILTER (WHERE known_at >= $as_of - INTERVAL 84 DAY) AS dollars_12w,

    count(*) FILTER (WHERE known_at >= $as_of - INTERVAL 182 DAY) AS purchases_26w,
    sum(dollars) FILTER (WHERE known_at >= $as_of - INTERVAL 182 DAY) AS dollars_26w
FROM purchases
GROUP BY customer_id
