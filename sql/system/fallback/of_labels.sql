-- What is said of entities that no page has: means of the labels that were known at the newest page, by coarser and
-- coarser keys. Their sums were written in the page's own commit. A group of n labels counts with its coarser one as if
-- that had {shrink} labels more: few labels say little by themselves.
WITH page AS (
    SELECT max(valid_until) AS valid_until,
        CASE WHEN min(model_version) = max(model_version) THEN min(model_version) END AS model_version,
        min(run_id) AS run_id, min(published_at) AS published_at, bool_or(hindsight) AS hindsight
    FROM predictions.{table}
    WHERE as_of = {newest}
    HAVING count(*) > 0
),
{levels}
{rows}
