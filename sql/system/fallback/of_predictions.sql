-- What is said of entities that no page has: means of what the newest page predicts, by coarser and coarser keys. They
-- come from predictions alone, so that nothing is in them that the page did not know. A group of n rows counts with its
-- coarser one as if that had {shrink} rows more: few rows say little by themselves.
WITH page AS (
    SELECT {columns}, {scores}, predictions.valid_until AS valid_until,
        predictions.model_version AS model_version, predictions.run_id AS run_id,
        predictions.published_at AS published_at, predictions.hindsight AS hindsight
    FROM predictions.{table} AS predictions
    {join}
    WHERE predictions.as_of = {newest}
),
{levels}
{rows}
