-- The files of a source that were taken in already under the same definition. Parameters: source, definition.
SELECT DISTINCT file.sha256, file.path
FROM (
    SELECT unnest(files) AS file
    FROM ledger.ingestions
    WHERE source = $1 AND definition = $2
)
