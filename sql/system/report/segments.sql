-- Each segment over the matured pages of a range, weighted by labelled rows. Parameters: product, first, until.
SELECT
    segment || ' = ' || coalesce(segment_value, 'NULL') AS segment,
    count(*) AS pages,
    sum(n_labelled)::BIGINT AS labelled,
    sum(loss * n_labelled ORDER BY as_of) / sum(n_labelled) AS loss,
    sum(expected_loss * n_labelled ORDER BY as_of) / sum(n_labelled) AS expected,
    sum(excess * n_labelled ORDER BY as_of) / sum(n_labelled) AS excess
FROM ledger.newest_performance
WHERE product = $1 AND as_of >= $2 AND as_of < $3 AND segment IS NOT NULL AND is_mature AND n_labelled > 0
GROUP BY segment, segment_value
ORDER BY labelled DESC, segment
LIMIT 100
