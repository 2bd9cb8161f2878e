-- What each ingestion brought to a derivation in the making: first versions, later ones, withdrawals, and from when to
-- when they were known.
SELECT
    ingest_id,
    count(*) FILTER (nth = 1 AND NOT withdrawn),
    count(*) FILTER (nth > 1 AND NOT withdrawn),
    count(*) FILTER (withdrawn),
    min(known_at),
    max(known_at)
FROM (
    SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS nth
    FROM temp.derived
)
GROUP BY ingest_id
