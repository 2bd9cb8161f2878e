/*
# A feature group is one SELECT for one instant, $as_of, with one row per key. Facts that were not yet known
# at $as_of do not exist for it: there is nothing to filter out, and no way to see them.
description: How each depot did of late.
owner: you
key: [depot]
*/
SELECT
    depot,
    count(*) FILTER (WHERE deliveries.known_at >= $as_of - INTERVAL 7 DAY) AS depot_deliveries_7d,
    count(*) AS depot_deliveries_28d,
    avg((delivered_at > promised_at)::INTEGER) FILTER (WHERE deliveries.known_at >= $as_of - INTERVAL 7 DAY)
        AS depot_late_share_7d,
    avg((delivered_at > promised_at)::INTEGER) AS depot_late_share_28d
FROM deliveries
JOIN orders USING (order_id)
WHERE deliveries.known_at >= $as_of - INTERVAL 28 DAY
GROUP BY depot
