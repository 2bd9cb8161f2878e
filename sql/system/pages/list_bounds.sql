-- The score of each list's last entry, of those lists of one part of all hashes that have more candidates than entries:
-- a heap of so many scores for each list, and nothing is sorted.
COPY (
    SELECT as_of, {list}, list_min(max({score}, {top})) AS "almanac: bound"
    FROM {scored}
    WHERE hash(as_of, {list}) % {n_parts} = {part}
    GROUP BY as_of, {list}
    HAVING count({score}) > {top}
) TO {file} (FORMAT parquet, COMPRESSION lz4_raw)
