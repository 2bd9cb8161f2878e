-- What was last found of how a source's CSV files are read, under its definition or else under another.
-- Parameters: source, definition.
SELECT found
FROM ledger.csv_formats
WHERE source = $1
ORDER BY definition = $2 DESC, ingest_id DESC
LIMIT 1
