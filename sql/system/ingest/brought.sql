-- What each ingestion brought to a derivation in the making: first versions, later ones, withdrawals, and from when to
-- when they were known.
SELECT
    ingest_id,
    count(*) FILTER (nth = 1 AND NOT withdrawn),
    count(*) FILTER (nth > 1 AND NOT withdrawn),
    count(*) FILTER (withdrawn),
    CASE
        WHEN min(known_at) < TIMESTAMP '0001-01-01' THEN TIMESTAMP '0001-01-01'
        WHEN min(known_at) > TIMESTAMP '9999-12-31' THEN TIMESTAMP '9999-12-31'
        ELSE min(known_at)
    END,
    CASE
        WHEN max(known_at) < TIMESTAMP '0001-01-01' THEN TIMESTAMP '0001-01-01'
        WHEN max(known_at) > TIMESTAMP '9999-12-31' THEN TIMESTAMP '9999-12-31'
        ELSE max(known_at)
    END
FROM (
    SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS nth
    FROM temp.derived
)
GROUP BY ingest_id
