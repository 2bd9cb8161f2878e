/*
description: >
  What the customer spent in the 84 days from the page's day on, in dollars; 0 for who did not come. That is known
  when all of those days are over, and of nobody before.
owner: shop-data
*/
WITH customers AS (
    SELECT customer_id
    FROM purchases
    WHERE known_at < $as_of AND known_at >= $as_of - INTERVAL 182 DAY
    GROUP BY customer_id
),

spent AS (
    SELECT customer_id, sum(dollars) AS dollars
    FROM purchases
    WHERE bought_on >= $as_of::DATE AND bought_on < $as_of::DATE + 84
    GROUP BY customer_id
)

SELECT customer_id, coalesce(dollars, 0) AS label
FROM customers
LEFT JOIN spent USING (customer_id)
WHERE $known_by >= $as_of + INTERVAL 84 DAY
