-- What applications look up of lists: the entries of each list's newest page, where these are still valid at the newest
-- page's as_of. Of a list that the newest page has nothing older is shown, so that no rank is there twice.
SELECT {columns}
FROM predictions.{table} AS predictions{pages}
WHERE as_of >= {oldest} AND (valid_until > {newest} OR as_of = {newest})
QUALIFY as_of = max(as_of) OVER (PARTITION BY {list})
