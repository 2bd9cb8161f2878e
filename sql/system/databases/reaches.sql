-- Whether a file has rows that go as far as what was taken in: if it has none, rows were removed, or the table was made
-- anew.
SELECT count(*) > 0
FROM read_parquet({file})
WHERE {cursor} >= {since}
