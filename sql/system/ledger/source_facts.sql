-- For every source: its newest ingestion, whether any fact has more than one version, how many
-- rows it has, and what each brought.
SELECT
    source,
    max(ingest_id),
    sum(rows_restated + rows_withdrawn) > 0,
    sum(rows_new + rows_restated + rows_withdrawn)::BIGINT,
    list({'ingest_id': ingest_id, 'min_known_at': min_known_at} ORDER BY ingest_id)
FROM ledger.ingestions
GROUP BY source
