-- Until when the last of each page's predictions is valid.
SELECT as_of, max(valid_until)
FROM {rows}
GROUP BY as_of
