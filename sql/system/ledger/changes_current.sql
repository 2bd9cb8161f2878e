-- Of the pages that a commit published, those that may change what PRODUCT_current shows: the newest page, and others
-- that hold, or held before, a row that is valid at its as_of. Parameters: product, snapshot.
WITH
    newest AS (
        SELECT max(as_of) AS as_of FROM ledger.published_pages WHERE product = $1 AND kind = 'predictions'
    ),
    of_pages AS (
        SELECT as_of, max(valid_until) AS valid_until, bool_or(snapshot_id = $2) AS is_of_the_commit
        FROM ledger.pages
        WHERE product = $1 AND kind = 'predictions' AND state = 'published'
        GROUP BY as_of
    )
SELECT of_pages.as_of
FROM of_pages, newest
WHERE is_of_the_commit AND (of_pages.as_of = newest.as_of OR of_pages.valid_until > newest.as_of)
