-- Of each page of one product and kind, in a stretch of time: the newest publication, and the newest attempt that
-- was none. Parameters: product, kind, from, until (excluded).
SELECT {columns}
FROM ledger.pages
WHERE product = $1 AND kind = $2 AND as_of >= $3 AND as_of < $4
QUALIFY row_number() OVER (PARTITION BY as_of, state = 'published' ORDER BY snapshot_id DESC, recorded_at DESC) = 1
ORDER BY snapshot_id, recorded_at
