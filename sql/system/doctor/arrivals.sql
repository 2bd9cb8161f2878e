-- How many seconds after it was known a source's newest fact was taken in: the median over its deliveries
-- after the first, which often brings history. {derivation} is that of an ingestion; in a lake without any, 1.
SELECT source, median(epoch(ingested_at) - epoch(max_known_at))
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY source, {derivation} ORDER BY ingest_id) AS nth,
        max({derivation}) OVER (PARTITION BY source) = {derivation} AS is_newest
    FROM ledger.ingestions
    WHERE isfinite(max_known_at)
)
WHERE nth > 1 AND is_newest
GROUP BY source
