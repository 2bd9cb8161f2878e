/*
description: A customer who is said to spend less than nothing by more than rounding, or more than any page's best did.
severity: warning
*/
SELECT customer_id, prediction, dollars_ever
FROM page
WHERE prediction < -5 OR prediction > 2 * (SELECT max(dollars_ever) FROM page)
