/*
description: For each customer who was ever shown anything, what is on sale.
*/
SELECT customer_id, item_id, genre, date_diff('day', listed_at, $as_of) AS age_days
FROM (SELECT DISTINCT customer_id FROM shown) AS customers
CROSS JOIN (FROM items ANTI JOIN ends USING (item_id)) AS candidates
