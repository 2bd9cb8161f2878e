-- What became of pages of one product and kind after a snapshot, the newest attempt of each last.
-- Parameters: product, kind, snapshot. The first two skip no file that the third does not, and are compared together:
-- DuckLake reads its statistics of files for each column that is compared by itself.
SELECT {columns}
FROM ledger.pages
WHERE snapshot_id > $3 AND product || ' ' || kind = $1 || ' ' || $2
ORDER BY snapshot_id, recorded_at
