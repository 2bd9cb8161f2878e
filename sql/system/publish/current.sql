-- What applications look up: of each entity the newest prediction that is still valid at the newest page's
-- as_of. Which pages can hold one is read from the ledger, so that older ones are not scanned.
CREATE OR REPLACE VIEW predictions.{view} AS
WITH pages AS (
    SELECT as_of, valid_until
    FROM ledger.published_pages
    WHERE product = {product} AND kind = 'predictions'
),
newest AS (SELECT max(as_of) AS as_of FROM pages)
SELECT {columns}
FROM predictions.{table} AS predictions
WHERE
    as_of IN (SELECT pages.as_of FROM pages, newest WHERE pages.as_of = newest.as_of OR pages.valid_until > newest.as_of)
    AND (valid_until > (SELECT as_of FROM newest) OR as_of = (SELECT as_of FROM newest))
QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY as_of DESC) = 1
