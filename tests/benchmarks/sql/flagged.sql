-- Each column in which something was found, of each flagged page, with what it was and what it had to be over; beside it
-- the column on that page and on the last 8 pages before it. Parameter: the product.
WITH flagged AS (
    SELECT *
    FROM ledger.newest_drift
    WHERE product = $1 AND reference = 'season' AND len(flags) > 0 AND (column_name IS NOT NULL OR flags = ['volume'])
),
profiled AS (
    SELECT
        as_of,
        kind,
        column_name,
        n_missing / n_rows AS missing,
        n_distinct,
        avg(n_missing / n_rows) OVER last_eight AS missing_before,
        avg(n_distinct) OVER last_eight AS distinct_before
    FROM ledger.profiles
    SEMI JOIN ledger.published_pages USING (product, kind, as_of, run_id)
    WHERE product = $1
    WINDOW last_eight AS (PARTITION BY kind, column_name ORDER BY as_of ROWS BETWEEN 8 PRECEDING AND 1 PRECEDING)
)
SELECT
    strftime(as_of, '%a %Y-%m-%d') AS page,
    kind,
    coalesce(column_name, '(rows)') || coalesce(' in ' || segment, '') AS column,
    array_to_string(flags, ', ') AS flags,
    round(score, 3) AS score,
    round(score_bound, 3) AS bound,
    round(missing, 3) AS missing,
    round(missing_before, 3) AS before,
    round(spread_change, 2) AS spread,
    round(spread_bound, 2) AS spread_bound,
    n_distinct AS n_values,
    round(distinct_before) AS values_before,
    n_rows,
    alarm IS NOT NULL AS told
FROM flagged
LEFT JOIN profiled USING (as_of, kind, column_name)
ORDER BY as_of, kind, column_name NULLS FIRST, segment NULLS FIRST
