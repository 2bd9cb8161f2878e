-- How new a source's newest fact is. What is known from its ingestion on (a change, a withdrawal) says nothing of that.
SELECT max(known_at)
FROM {source}
JOIN ledger.ingestions USING (ingest_id)
WHERE known_at < ingested_at
