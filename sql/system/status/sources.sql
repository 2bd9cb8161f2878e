-- What every source holds, from the ingestions of its newest derivation. Of a lake without derivations {derivation} is 1.
SELECT
    source,
    sum(rows_new + rows_restated + rows_withdrawn)::BIGINT,
    sum(rows_rejected)::BIGINT,
    max(max_known_at),
    max(ingested_at)
FROM (
    SELECT *, max({derivation}) OVER (PARTITION BY source) = {derivation} AS is_newest
    FROM ledger.ingestions
)
WHERE is_newest
GROUP BY source
ORDER BY source
