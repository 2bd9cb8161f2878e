-- What was judged last of the columns of pages, as far as later pages are judged by it.
-- Those of segments are there too. Parameters: product, first page, last page.
SELECT
    kind, column_name, segment, as_of, score, score_bound, slow_score, is_level, missing_change, missing_bound, spread_change,
    spread_bound, carried, waiting, list_contains(flags, 'shape') AS shape, list_contains(flags, 'level') AS level,
    list_contains(flags, 'missing') AS missing, list_contains(flags, 'spread') AS spread
FROM ledger.newest_drift
WHERE product = $1 AND as_of BETWEEN $2 AND $3 AND column_name IS NOT NULL AND reference = 'season'
