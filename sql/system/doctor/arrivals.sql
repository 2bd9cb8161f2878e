-- How many seconds after it was known a source's newest fact was taken in: the median over its deliveries
-- after the first, which often brings history.
SELECT source, median(epoch(ingested_at) - epoch(max_known_at))
FROM (
    SELECT *, row_number() OVER (PARTITION BY source ORDER BY ingest_id) AS nth
    FROM ledger.ingestions
    WHERE max_known_at IS NOT NULL
)
WHERE nth > 1
GROUP BY source
