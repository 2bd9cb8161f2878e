-- What had been judged of a product's pages at an instant.
-- Parameters: product, first page, the page before which to stop, the instant (NULL: now).
SELECT {columns}
FROM ledger.drift
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND ($4 IS NULL OR known_by <= $4)
QUALIFY row_number() OVER (
    PARTITION BY kind, as_of, column_name, segment, reference ORDER BY snapshot_id DESC
) = 1
ORDER BY as_of, kind, column_name NULLS FIRST, segment NULLS FIRST, reference
