-- What is kept of the candidates of ranked lists: all of some lists, and of the others what is listed. Which lists are
-- kept is asked of each list, behind CASE: DuckDB would move it below GROUP BY, and ask it of each candidate. The features
-- are read three times, since DuckDB 1.5.5 would write all of their columns down before, at three times the cost.
COPY (
    WITH features AS NOT MATERIALIZED (FROM {features}),
    whole AS MATERIALIZED (
        SELECT as_of, {list}
        FROM (SELECT as_of, {list}, count(*) AS "almanac: n_candidates" FROM features GROUP BY ALL)
        WHERE CASE WHEN "almanac: n_candidates" > 0 THEN {is_kept} END
    ),
    listed AS ({listed})
    FROM (
        FROM features SEMI JOIN whole USING (as_of, {list})
        UNION ALL
        FROM features SEMI JOIN (FROM listed ANTI JOIN whole USING (as_of, {list})) USING (as_of, {keys})
    )
    {order}
) TO {file} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
