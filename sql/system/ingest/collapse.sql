-- Versions of a fact that say what the one before says, now that columns are gone: they are none. A version after one
-- of these is known from its ingestion on; where it was dated otherwise, `is_clear` is false.
CREATE OR REPLACE TEMP TABLE derived AS
SELECT * EXCLUDE (is_same, n_same), NOT (n_same > 0 AND NOT is_same AND known_at <> ingested_at) AS is_clear
FROM (
    SELECT *, sum(is_same::INTEGER) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id) AS n_same
    FROM (
        SELECT
            *,
            lag(row({columns}, withdrawn)) OVER (PARTITION BY {key} ORDER BY known_at, ingest_id)
                IS NOT DISTINCT FROM row({columns}, withdrawn) AS is_same
        FROM ({query})
    )
)
LEFT JOIN (
    SELECT ingest_id AS its_ingest_id, ingested_at
    FROM ledger.ingestions
    WHERE source = $1 AND coalesce(derivation, 1) = $2
) ON ingest_id = its_ingest_id
WHERE NOT is_same
