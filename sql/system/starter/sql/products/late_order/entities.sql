/*
# Who gets a prediction on this page. Columns that are not keys are features too.
description: Orders that are not delivered yet and still within their promise.
*/
SELECT
    order_id,
    depot,
    courier,
    parcels,
    date_diff('hour', ordered_at, promised_at) AS promised_hours,
    date_diff('hour', $as_of, promised_at) AS hours_left
FROM orders
ANTI JOIN deliveries USING (order_id)
WHERE promised_at > $as_of
