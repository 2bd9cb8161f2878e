/*
# A check returns the rows that are wrong. An error keeps the page back; a warning is recorded and shown.
description: A page of many orders on which all probabilities are the same.
severity: warning
*/
SELECT count(*) AS orders, min(probability) AS probability
FROM page
HAVING count(*) >= 20 AND min(probability) = max(probability)
