-- What was scored without the candidates that lie below the last entry of their list; equal scores stay, for their keys
-- to decide. A list without a bound stays whole, and so does one with a key that is NULL, for the checks of the page.
COPY (
    SELECT scored.* EXCLUDE (file_row_number)
    FROM {scored} AS scored
    LEFT JOIN {bounds} AS bounds ON {same_list}
    WHERE "almanac: bound" IS NULL OR {score} >= "almanac: bound"
) TO {file} (FORMAT parquet, COMPRESSION lz4_raw)
