-- The type of a cursor in what was taken in, and how far it had come: as a whole number, a day, or an instant in UTC.
SELECT
    kind, TRY_CAST({up_to} AS HUGEINT) AS number, TRY_CAST({up_to} AS DATE) AS day,
    TRY_CAST(TRY_CAST({up_to} AS TIMESTAMP WITH TIME ZONE) AS TIMESTAMP) AS instant
FROM (SELECT any_value(typeof({cursor})) AS kind FROM read_parquet({file}))
