-- The newest judgement of each page, version and segment, of those known by an instant. Parameters: product, instant.
SELECT {columns}
FROM ledger.performance
WHERE product = $1 AND known_by <= $2
QUALIFY row_number() OVER (
    PARTITION BY as_of, model_version, segment, segment_value ORDER BY snapshot_id DESC
) = 1
ORDER BY as_of, model_version, segment NULLS FIRST, segment_value NULLS FIRST
