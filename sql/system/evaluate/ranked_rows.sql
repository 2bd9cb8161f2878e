-- Listed entries that count, beside their labels, and what was relevant to the same lists and is not listed: of pages in a
-- range, made without hindsight. Lists of which no outcome is known yet are left out.
(
    WITH listed AS (
        SELECT predictions.*, labels.label {by_column}
        FROM predictions.{table} AS predictions
        LEFT JOIN labels.{table} AS labels USING (as_of, {keys})
        {features}
        WHERE as_of >= {first} AND as_of < {until} AND NOT hindsight AND {score} IS NOT NULL
    ),
    told AS (
        SELECT DISTINCT as_of, {list}
        FROM listed
        SEMI JOIN labels.{table} USING (as_of, {list})
    )
    SELECT * FROM listed SEMI JOIN told USING (as_of, {list})
    UNION ALL BY NAME
    SELECT labels.*
    FROM labels.{table} AS labels
    SEMI JOIN told USING (as_of, {list})
    ANTI JOIN listed USING (as_of, {keys})
)
