-- The files of a source that a derivation of it holds already, with the last ingestion of each. Parameters: source,
-- derivation.
SELECT file.sha256, file.path, max(ingest_id)
FROM (
    SELECT ingest_id, unnest(files) AS file
    FROM ledger.ingestions
    WHERE source = $1 AND coalesce(derivation, 1) = $2
)
GROUP BY ALL
