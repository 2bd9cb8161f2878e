/*
description: A customer on the page who is gone already, or whom the page does not know to have bought anything.
severity: error
*/
SELECT customer_id, days_since_last
FROM page
WHERE days_since_last IS NULL OR days_since_last > 182 OR days_since_last < 1
