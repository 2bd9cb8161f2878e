-- What had been judged of a product's pages at an instant: the pages as wholes, and columns with a finding or of one name.
-- Parameters: product, first page, the page before which to stop, the instant (NULL: now), a column (NULL: none).
SELECT {columns}
FROM (
    SELECT *
    FROM ledger.drift
    WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND ($4 IS NULL OR known_by <= $4)
    QUALIFY row_number() OVER (
        PARTITION BY kind, as_of, column_name, segment, reference ORDER BY snapshot_id DESC
    ) = 1
)
WHERE reference = 'season' AND (segment IS NULL OR n_rows > 0)
    AND (column_name IS NULL OR len(flags) > 0 OR lower(column_name) = lower($5))
ORDER BY as_of, kind, column_name NULLS FIRST
