/*
description: 1 of what was clicked on within a day, 0 of all else that was on sale, once the day is over.
*/
WITH clicked AS (
    SELECT DISTINCT customer_id, item_id
    FROM clicks
    WHERE clicked_at >= $as_of AND clicked_at < $as_of + INTERVAL 1 DAY
)
SELECT customer_id, item_id, (clicked.item_id IS NOT NULL)::INTEGER AS label
FROM (SELECT DISTINCT customer_id FROM shown WHERE shown_at < $as_of) AS customers
CROSS JOIN (
    SELECT item_id
    FROM items
    ANTI JOIN (FROM ends WHERE ended_at < $as_of) AS gone USING (item_id)
    WHERE listed_at < $as_of
) AS candidates
LEFT JOIN clicked USING (customer_id, item_id)
WHERE $known_by >= $as_of + INTERVAL 1 DAY
