-- Of one product: how many pages are published, the newest, and what was tried since without success.
SELECT
    count(*) FILTER (state = 'published'),
    max(as_of) FILTER (state = 'published'),
    max(recorded_at) FILTER (state = 'published'),
    sum(n_rows) FILTER (state = 'published')
FROM ledger.published_pages
WHERE product = $1 AND kind = 'predictions'
