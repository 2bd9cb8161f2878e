-- The first of each list, by score, those of equal scores by their keys, among the lists of one part of all hashes; and
-- which rows of the file they are, so that rows whose keys are not as they have to be are found by the checks of the page.
COPY (
    SELECT
        as_of,
        {keys},
        file_row_number AS "almanac: row",
        row_number() OVER (PARTITION BY as_of, {list} ORDER BY {score} DESC, {keys}) AS rank
    FROM {scored}
    WHERE hash(as_of, {list}) % {n_parts} = {part}
    QUALIFY rank <= {top}
) TO {file} (FORMAT parquet, COMPRESSION lz4_raw)
