-- For each ingestion of a source, the stretches in which its facts became known, none of them with a longer pause
-- than {every}. Facts are put into slices of a sixteenth of that first: within a slice there is no such pause, so
-- that only slices have to be sorted. A change of a fact that is known from its ingestion says nothing of how far the
-- source has delivered.
WITH slices AS (
    SELECT ingest_id, min(known_at) AS first, max(known_at) AS last
    FROM {source} AS facts
    JOIN ledger.ingestions USING (ingest_id)
    WHERE ingest_id <= {ingest_id} AND known_at < ingested_at AND known_at >= TIMESTAMP '0001-01-01'
    GROUP BY ingest_id, epoch_us(known_at) // {slice}
),
marked AS (
    SELECT
        *,
        coalesce(first - lag(last) OVER (PARTITION BY ingest_id ORDER BY first) > {every}, true) AS begins
    FROM slices
),
numbered AS (
    SELECT *, sum(begins::INTEGER) OVER (PARTITION BY ingest_id ORDER BY first) AS island
    FROM marked
)
SELECT ingest_id, min(first), max(last)
FROM numbered
GROUP BY ingest_id, island
ORDER BY 2
