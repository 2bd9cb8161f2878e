-- Published lists against the outcomes of all of their entities, listed or not. Lists in which nothing was relevant say
-- nothing of the order, and are left out of the means; coverage and diversity are of all lists, each page by itself.
WITH entries AS (
    SELECT {by} AS "group", as_of, {list} AS list, {items} AS item, rank, coalesce(label, 0) AS relevant
    FROM {rows}
),
grouped AS (
    SELECT as_of, list, min("group") AS "group" FROM entries GROUP BY as_of, list
),
hits AS (
    SELECT *, sum(relevant) OVER (PARTITION BY as_of, list ORDER BY rank) AS hits_so_far
    FROM entries
    WHERE rank IS NOT NULL
),
shown AS (
    SELECT
        as_of,
        list,
        count(*) AS n_rows,
        coalesce(sum(1 / log2(rank + 1) ORDER BY rank) FILTER (relevant = 1), 0) AS gain,
        sum(relevant) AS n_hits,
        coalesce(sum(hits_so_far / rank ORDER BY rank) FILTER (relevant = 1), 0) AS precisions
    FROM hits
    GROUP BY as_of, list
),
of_lists AS (
    SELECT as_of, list, sum(relevant) AS n_relevant, least(n_relevant, {top}) AS n_best
    FROM entries
    GROUP BY as_of, list
),
figures AS (
    SELECT
        grouped."group",
        shown.n_rows,
        n_relevant,
        gain / nullif(list_sum([1 / log2(place + 1) FOR place IN range(1, n_best::BIGINT + 1)]), 0) AS ndcg,
        n_hits / nullif(n_relevant, 0) AS recall,
        precisions / nullif(n_best, 0) AS average_precision
    FROM shown
    JOIN of_lists USING (as_of, list)
    JOIN grouped USING (as_of, list)
),
by_item AS (
    SELECT grouped."group", as_of, item, count(*) AS n_lists
    FROM hits
    JOIN grouped USING (as_of, list)
    GROUP BY grouped."group", as_of, item
),
by_page AS (
    SELECT "group", as_of, count(*) AS n_items, sum(n_lists) AS n_entries, sum(n_lists * (n_lists - 1)) AS n_shared
    FROM by_item
    GROUP BY "group", as_of
),
lists_of_pages AS (
    SELECT "group", as_of, count(*) AS n_lists, count(*) * (count(*) - 1) AS n_pairs
    FROM grouped
    GROUP BY "group", as_of
),
candidates AS (
    SELECT as_of, count(DISTINCT {items}) AS n_candidates
    FROM {candidates}
    SEMI JOIN entries USING (as_of)
    GROUP BY as_of
),
of_pages AS (
    SELECT
        "group",
        -- The share of a page's candidates that some list shows.
        avg(n_items / n_candidates ORDER BY as_of) AS coverage,
        -- How different two lists of a page are: the share of one's entries that the other lacks (Zhou et al., PNAS 2010).
        avg(1 - n_shared / nullif(n_pairs, 0) / (n_entries / n_lists) ORDER BY as_of) AS diversity
    FROM by_page
    JOIN lists_of_pages USING ("group", as_of)
    JOIN candidates USING (as_of)
    GROUP BY "group"
)
SELECT
    "group",
    sum(n_rows) AS n_rows,
    count(*) AS n_lists,
    count(*) FILTER (n_relevant > 0) AS n_lists_with_relevant,
    avg(ndcg ORDER BY ndcg) AS ndcg,
    avg(recall ORDER BY recall) AS recall,
    avg(average_precision ORDER BY average_precision) AS map,
    any_value(coverage) AS coverage,
    any_value(diversity) AS diversity
FROM figures
JOIN of_pages USING ("group")
GROUP BY "group"
ORDER BY n_rows DESC, "group"
