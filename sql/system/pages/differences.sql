-- How many rows of one page differ between a way that makes many pages at once and page by page.
-- What was summed in floating point depends on the order of summing: there, equal means within 1e-9.
SELECT
    (
        SELECT count(*)
        FROM (
            (SELECT {columns} FROM {fast} EXCEPT ALL SELECT {columns} FROM {plain})
            UNION ALL
            (SELECT {columns} FROM {plain} EXCEPT ALL SELECT {columns} FROM {fast})
        )
    )
    + (SELECT count(*) FROM {fast} AS fast JOIN {plain} AS plain ON {same_key} WHERE {apart})
