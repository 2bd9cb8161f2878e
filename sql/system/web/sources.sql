-- What every source was delivered. Up to {derivation}, the newest derivation counts.
SELECT
    source, count(*) AS deliveries, sum(rows_new + rows_restated + rows_withdrawn)::BIGINT AS facts,
    sum(rows_rejected)::BIGINT AS rejected, max(ingested_at) AS ingested_at, max(ingest_id) AS ingest_id
FROM (
    SELECT *, max({derivation}) OVER (PARTITION BY source) = {derivation} AS is_newest
    FROM ledger.ingestions
)
WHERE is_newest
GROUP BY source
ORDER BY source
