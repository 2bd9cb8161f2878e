/*
# What came of each entity of the page $as_of, as far as it was known at $known_by.
description: 1 if the order came late. An order that has not come by then has no label.
*/
SELECT order_id, (delivered_at > promised_at)::INTEGER AS label
FROM orders
JOIN deliveries USING (order_id)
WHERE ordered_at < $as_of AND promised_at > $as_of AND delivered_at >= $as_of
