{mean} AS (
    SELECT {level}.*, {estimate} AS estimate
    FROM {level}
    {coarser}
)
