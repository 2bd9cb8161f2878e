-- How a version's published predictions did over all matured pages, and over each segment, weighted by labelled rows.
-- Parameters: product, version.
SELECT
    coalesce(segment || ' = ' || coalesce(segment_value, 'NULL'), 'all') AS rows,
    count(*) AS pages,
    min(as_of) AS first_page,
    max(as_of) AS last_page,
    sum(n_labelled)::BIGINT AS labelled,
    sum(loss * n_labelled ORDER BY as_of) / sum(n_labelled) AS loss,
    sum(expected_loss * n_labelled ORDER BY as_of) / sum(n_labelled) AS expected_loss
FROM ledger.newest_performance
WHERE product = $1 AND model_version = $2 AND is_mature AND n_labelled > 0
GROUP BY segment, segment_value
ORDER BY segment NULLS FIRST, labelled DESC, segment_value
LIMIT 100
