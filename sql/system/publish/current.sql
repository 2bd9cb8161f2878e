-- What applications look up: of each entity the newest prediction that is still valid at the newest page's as_of.
-- Older pages than `oldest` hold none; the literals let their files be skipped. Keys are unique on a page, so that
-- rank() is row_number(); DuckDB 1.5 turns row_number() = 1 into a join of the table with itself, and so reads it twice.
SELECT {columns}
FROM predictions.{table} AS predictions
WHERE as_of >= {oldest} AND (valid_until > {newest} OR as_of = {newest})
QUALIFY rank() OVER (PARTITION BY {keys} ORDER BY as_of DESC) = 1
