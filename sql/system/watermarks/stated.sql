-- For each ingestion of a source, the newest instant up to which its rows say that everything has been delivered.
SELECT ingest_id, max(({watermark})::TIMESTAMP)
FROM {source}
WHERE ingest_id <= {ingest_id}
GROUP BY ingest_id
