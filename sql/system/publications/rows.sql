-- The rows of some publications of a product, each marked with when it was published.
SELECT rows.* REPLACE (publications.published_at AS published_at)
FROM {relation} AS rows
JOIN (VALUES {publications}) AS publications (as_of, published_at) ON rows.as_of = publications.as_of
