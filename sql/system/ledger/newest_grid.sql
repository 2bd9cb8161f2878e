-- The page grid of a product as last recorded. Parameter: product.
-- Not by ORDER BY and LIMIT, for which DuckDB reads the table twice; nor by WHERE, for which DuckLake reads statistics.
-- The newest is the one that was written last: its clock may have been set back since the one before.
SELECT newest.cron, newest.zone, newest.since
FROM (
    SELECT max_by(struct_pack(cron, zone, since), rowid) FILTER (product = $1) AS newest
    FROM ledger.grids
)
