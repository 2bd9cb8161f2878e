{level} AS (
    SELECT {groups}count(*) AS n_rows, {totals}, max(valid_until) AS valid_until,
        CASE WHEN min(model_version) = max(model_version) THEN min(model_version) END AS model_version,
        min(run_id) AS run_id, min(published_at) AS published_at, bool_or(hindsight) AS hindsight
    FROM page
    {known}
    {by}
    HAVING count(*) > 0
)
