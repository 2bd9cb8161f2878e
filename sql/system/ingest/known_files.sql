-- The files of a source that were taken in already under the same definition. Parameters: source, definition.
SELECT DISTINCT unnest(files).sha256
FROM ledger.ingestions
WHERE source = $1 AND definition = $2
