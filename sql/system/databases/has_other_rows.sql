-- Whether a file has rows that the one before it has not.
SELECT count(*) > 0
FROM (
    FROM read_parquet({file})
    EXCEPT ALL
    FROM read_parquet({before})
)
