-- How many rows each published page before an instant has. Parameters: product, kind, the instant.
-- What is asked in FILTER is not pushed down: DuckLake would read its statistics of files for each such column.
SELECT as_of, newest.n_rows
FROM (
    SELECT
        as_of,
        max_by(struct_pack(state, n_rows), (snapshot_id, recorded_at)) FILTER (
            kind = $2 AND state IN ('published', 'lost') AND as_of < $3
        ) AS newest
    FROM ledger.pages
    WHERE product = $1
    GROUP BY as_of
)
WHERE newest.state = 'published'
ORDER BY as_of
