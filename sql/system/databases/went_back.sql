-- Whether the newest row of a database is older than what was taken in: rows were removed, or the table was made anew.
SELECT coalesce(max({cursor}) < {since}, true)
FROM {relation} AS delivered
