-- In how many different hours facts of a source became known from $2 to before $1, when the newest did, and the longest
-- time in which none did. A change of a fact that is known from its ingestion says nothing of how far the source has delivered.
WITH hours AS (
    SELECT min(known_at) AS first, max(known_at) AS last
    FROM {source} AS facts
    JOIN ledger.ingestions USING (ingest_id)
    WHERE ingest_id <= {ingest_id} AND known_at < ingested_at AND known_at < $1 AND known_at >= $2
    GROUP BY epoch_us(known_at) // 3600000000
),
paused AS (
    SELECT last, first - lag(last) OVER (ORDER BY first) AS pause
    FROM hours
)
SELECT count(*), max(last), max(pause)
FROM paused
