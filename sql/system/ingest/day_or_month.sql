-- Whether all cells of a column can be read with the day and the month the other way round as well, and one of them
-- would then be another date. Parameters: form, other.
SELECT
    count({column}) = count(try_strptime({column}, $other))
    AND bool_or(try_strptime({column}, $form) <> try_strptime({column}, $other))
FROM (
    SELECT {column}
    FROM {cells}
    LIMIT {limit}
)
