-- What every source holds, from the ingestions of its newest derivation, and whether some of it is known from an ingestion
-- on, such as a changed row, so that the facts themselves have to say how new the newest is. Of a lake without derivations
-- {derivation} is 1.
SELECT
    source,
    sum(rows_new + rows_restated + rows_withdrawn)::BIGINT,
    sum(rows_rejected)::BIGINT,
    CASE
        WHEN max(max_known_at) < TIMESTAMP '0001-01-01' THEN TIMESTAMP '0001-01-01'
        WHEN max(max_known_at) > TIMESTAMP '9999-12-31' THEN TIMESTAMP '9999-12-31'
        ELSE max(max_known_at)
    END,
    max(ingested_at),
    bool_or(max_known_at >= ingested_at)
FROM (
    SELECT *, max({derivation}) OVER (PARTITION BY source) = {derivation} AS is_newest
    FROM ledger.ingestions
)
WHERE is_newest
GROUP BY source
ORDER BY source
