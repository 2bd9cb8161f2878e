-- How many rows the last deliveries of a source had, newest first. A source whose files are one delivery each has rows a
-- file. Those of its newest derivation count. Parameters: source, whether each file is a delivery.
SELECT rows_read / CASE WHEN $2 THEN greatest(len(files), 1) ELSE 1 END
FROM (
    SELECT *, max({derivation}) OVER () = {derivation} AS is_newest
    FROM ledger.ingestions
    WHERE source = $1
)
WHERE is_newest
ORDER BY ingest_id DESC
LIMIT 11
