/*
description: How often an item was clicked on in the last week.
key: [item_id]
*/
SELECT item_id, count(*) AS clicks_7d
FROM clicks
WHERE clicked_at >= $as_of - INTERVAL 7 DAY
GROUP BY item_id
