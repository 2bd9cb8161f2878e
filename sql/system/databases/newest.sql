-- How far the rows of a file go: their largest cursor, as text, and not beyond the time of reading, since a row with a
-- cursor in the future would hide all that comes until then.
SELECT CAST(CAST(least(max({cursor}), {now}) AS {kind}) AS VARCHAR)
FROM read_parquet({file})
