-- Records of feature pages from an instant on, or their profiles, into a file beside the lake, until a rehearsal has come
-- to them.
COPY (
    SELECT *
    FROM ledger.{table}
    WHERE product = {product} AND kind = 'features' AND as_of >= {begin}
    ORDER BY as_of
) TO {file} (FORMAT parquet)
