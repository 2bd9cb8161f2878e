-- What every source holds, from its ingestions.
SELECT
    source,
    sum(rows_new + rows_restated + rows_withdrawn)::BIGINT,
    sum(rows_rejected)::BIGINT,
    max(max_known_at),
    max(ingested_at)
FROM ledger.ingestions
GROUP BY source
ORDER BY source
