-- Who serves each row of some feature pages, where that depends on columns that only these have.
JOIN (
    SELECT as_of, {keys}, {given} AS "almanac: given"
    FROM {features}
) AS given USING (as_of, {keys})
