{mean} AS (
    SELECT {level}.*, {estimates}
    FROM {level}
    {coarser}
)
