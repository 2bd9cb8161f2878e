-- A lifted query whose columns bear the names that the author's own query gives them; the page is the last.
SELECT *
FROM ({query}
) AS lifted ({names})
