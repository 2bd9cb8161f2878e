/*
description: How much each courier has on its hands.
owner: you
key: [courier]
*/
SELECT courier, count(*) AS courier_open_orders, sum(parcels) AS courier_open_parcels
FROM orders
ANTI JOIN deliveries USING (order_id)
GROUP BY courier
