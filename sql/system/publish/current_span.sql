-- The oldest page that can hold a row that is still valid at the newest page's as_of, and the newest page.
-- As `ledger.published_pages`, which would be read twice, with all of its columns. What is asked in FILTER, and of the
-- product, is not pushed down: DuckLake would read its statistics of files for each such column, and skip hardly any.
WITH last_states AS (
    SELECT
        as_of,
        max_by(struct_pack(state, valid_until), (snapshot_id, recorded_at)) FILTER (
            kind = 'predictions' AND state IN ('published', 'lost')
        ) AS last_state
    FROM ledger.pages
    WHERE list_contains([{product}], product)
    GROUP BY as_of
),
published AS (
    SELECT as_of, last_state.valid_until AS valid_until
    FROM last_states
    WHERE last_state.state = 'published'
),
newest AS (
    SELECT max(as_of) AS as_of
    FROM published
)
SELECT min(published.as_of) AS oldest, max(newest.as_of) AS newest
FROM published, newest
WHERE published.as_of = newest.as_of OR published.valid_until > newest.as_of
