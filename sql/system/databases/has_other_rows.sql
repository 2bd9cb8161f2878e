-- Whether a file has rows that the one before it has not; of that one, only those that were asked for this time.
SELECT count(*) > 0
FROM (
    FROM read_parquet({file})
    EXCEPT ALL
    SELECT * FROM read_parquet({before}) WHERE {condition}
)
