-- What applications look up: of each entity the newest prediction that is still valid at the newest page's as_of.
-- Older pages than `oldest` hold none; the literals let their files be skipped. Keys are unique on a page, so that the
-- values that go with the newest as_of are one row's. As a window this takes half as long again, since it sorts.
SELECT {picked}
FROM predictions.{table} AS predictions{pages}
WHERE as_of >= {oldest} AND (valid_until > {newest} OR as_of = {newest})
GROUP BY {keys}
