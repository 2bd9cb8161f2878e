-- Python has the years 1 to 9999; earlier versions took in facts known before and after.
-- For every derivation of every source: the definition of its newest ingestion, that ingestion, whether any fact has
-- more than one version, how many rows it has, and what each ingestion brought.
SELECT
    source, {derivation} AS number,
    max_by(definition, ingest_id),
    max(ingest_id),
    sum(rows_restated + rows_withdrawn) > 0,
    sum(rows_new + rows_restated + rows_withdrawn)::BIGINT,
    list({'ingest_id': ingest_id, 'min_known_at': CASE
        WHEN min_known_at < TIMESTAMP '0001-01-01' THEN TIMESTAMP '0001-01-01'
        WHEN min_known_at > TIMESTAMP '9999-12-31' THEN TIMESTAMP '9999-12-31'
        ELSE min_known_at
    END} ORDER BY ingest_id)
FROM ledger.ingestions
GROUP BY source, number
