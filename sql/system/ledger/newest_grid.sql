-- The page grid of a product as last recorded. Parameter: product.
-- Not by ORDER BY and LIMIT, for which DuckDB reads the table twice; nor by WHERE, for which DuckLake reads statistics.
SELECT newest.cron, newest.zone, newest.since
FROM (
    SELECT max_by(struct_pack(cron, zone, since), recorded_at) FILTER (product = $1) AS newest
    FROM ledger.grids
)
