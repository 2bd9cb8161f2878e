-- The oldest page that can hold a row that is still valid at the newest page's as_of, and the newest page.
-- Parameter: product.
WITH newest AS (
    SELECT max(as_of) AS as_of
    FROM ledger.published_pages
    WHERE product = $1 AND kind = 'predictions'
)
SELECT min(pages.as_of), max(newest.as_of)
FROM ledger.published_pages AS pages, newest
WHERE
    pages.product = $1
    AND pages.kind = 'predictions'
    AND (pages.as_of = newest.as_of OR pages.valid_until > newest.as_of)
