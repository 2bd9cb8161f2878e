-- The profiles of the segments that some columns make. Their different values are not told.
SELECT *, NULL::BIGINT AS n_distinct, NULL::VARCHAR AS values_hash
FROM ledger.segment_profiles
WHERE kind IN ('features', 'predictions') AND column_name IS NOT NULL AND {is_of_columns}
