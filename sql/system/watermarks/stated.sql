-- For each ingestion of a source, the newest instant up to which its rows say that everything has been delivered.
SELECT ingest_id, CASE
    WHEN max(({watermark})::TIMESTAMP) < TIMESTAMP '0001-01-01' THEN TIMESTAMP '0001-01-01'
    WHEN max(({watermark})::TIMESTAMP) > TIMESTAMP '9999-12-31' THEN TIMESTAMP '9999-12-31'
    ELSE max(({watermark})::TIMESTAMP)
END
FROM {source}
WHERE ingest_id <= {ingest_id}
GROUP BY ingest_id
