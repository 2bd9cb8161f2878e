/*
description: What each customer bought on the day that they came, and what they have spent for each day since.
owner: shop-data
key: [customer_id]
*/
WITH came AS (
    SELECT customer_id, min(bought_on) AS came_on
    FROM purchases
    GROUP BY customer_id
)

SELECT
    customer_id,
    sum(cds) AS first_cds,
    sum(dollars) AS first_dollars,
    max(dollars_ever) / (max(days_since_first) + 1) AS dollars_per_day
FROM purchases
JOIN came USING (customer_id)
JOIN customer_purchases USING (customer_id)
WHERE bought_on = came_on
GROUP BY customer_id
