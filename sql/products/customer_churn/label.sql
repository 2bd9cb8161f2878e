/*
description: >
  1 if the customer bought nothing in the 84 days from the page's day on, else 0. That nothing came is known when all
  of those days are over; a purchase would be known earlier, but labels of some customers and not of others would
  be those of the good ones.
owner: shop-data
*/
WITH customers AS (
    SELECT customer_id
    FROM purchases
    WHERE known_at < $as_of AND known_at >= $as_of - INTERVAL 182 DAY
    GROUP BY customer_id
),

came_back AS (
    SELECT customer_id
    FROM purchases
    WHERE bought_on >= $as_of::DATE AND bought_on < $as_of::DATE + 84
    GROUP BY customer_id
)

SELECT customers.customer_id, (came_back.customer_id IS NULL)::INTEGER AS label
FROM customers
LEFT JOIN came_back USING (customer_id)
WHERE $known_by >= $as_of + INTERVAL 84 DAY
