-- The newest page of the product, whole.
CREATE OR REPLACE VIEW predictions.{view} AS
SELECT {columns}
FROM predictions.{table}
WHERE as_of = (
    SELECT max(as_of)
    FROM ledger.published_pages
    WHERE product = {product} AND kind = 'predictions'
)
