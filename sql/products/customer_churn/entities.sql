/*
description: >
  Every customer who bought in the 26 weeks before the page. They come with their first purchase, go 26 weeks after
  their last, and are there again when they buy again.
owner: shop-data
*/
SELECT customer_id
FROM purchases
WHERE known_at >= $as_of - INTERVAL 182 DAY
GROUP BY customer_id
