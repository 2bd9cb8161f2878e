-- The facts that a complete delivery lacks, as rows that withdraw them, known from its ingestion on. A key of which the
-- delivery has a row is not lacking, whatever became of the row.
INSERT INTO apart BY NAME
SELECT
    {columns},
    true AS "almanac: withdrawn",
    greatest($ingested_at::TIMESTAMP, known_at + INTERVAL 1 MICROSECOND) AS "almanac: known_at",
    'withdrawn' AS "almanac: fate"
FROM newest
ANTI JOIN (SELECT {key} FROM delivery UNION ALL SELECT {key} FROM refused) AS delivered USING ({key})
WHERE NOT withdrawn
