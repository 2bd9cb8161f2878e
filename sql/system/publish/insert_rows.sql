-- The staged rows of the pages that passed, where others of the same file did not.
INSERT INTO {target} BY NAME
SELECT *
FROM read_parquet($file)
WHERE as_of = ANY($pages)
