-- The plans that DuckDB makes of a query, the one before it is optimised among them.
EXPLAIN (FORMAT json)
{query}
