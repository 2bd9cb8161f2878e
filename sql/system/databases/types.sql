-- PostgreSQL's own types of what a source reads, in one row, whether or not there are rows.
SELECT {kinds}
FROM (SELECT 1) AS always
LEFT JOIN (SELECT * FROM {relation} AS delivered LIMIT 0) AS one ON true
