-- How good each list is that both sides publish, made without hindsight, and of which something relevant is known: against
-- the outcomes of all of its entities, listed or not, as evaluate/ranking.sql has it.
WITH entries AS (
    SELECT as_of, {keys}, rank, 'before' AS side FROM {before} WHERE NOT hindsight AND rank IS NOT NULL
    UNION ALL
    SELECT as_of, {keys}, rank, 'after' AS side FROM {after} WHERE NOT hindsight AND rank IS NOT NULL
),
outcomes AS (
    SELECT as_of, {keys}, label FROM {labels} WHERE label IS NOT NULL
),
told AS (
    SELECT as_of, {list}, sum(label) AS n_relevant, least(sum(label), {top}) AS n_best
    FROM outcomes
    GROUP BY as_of, {list}
    HAVING sum(label) > 0
),
hits AS (
    SELECT
        entries.*,
        coalesce(label, 0) AS relevant,
        sum(coalesce(label, 0)) OVER (PARTITION BY as_of, {list}, side ORDER BY rank) AS hits_so_far
    FROM entries
    LEFT JOIN outcomes USING (as_of, {keys})
),
shown AS (
    SELECT
        as_of,
        {list},
        side,
        count(*) AS n_rows,
        coalesce(sum(1 / log2(rank + 1) ORDER BY rank) FILTER (relevant = 1), 0) AS gain,
        sum(relevant) AS n_hits,
        coalesce(sum(hits_so_far / rank ORDER BY rank) FILTER (relevant = 1), 0) AS precisions
    FROM hits
    GROUP BY as_of, {list}, side
),
figures AS (
    SELECT
        as_of,
        {list},
        side,
        n_rows,
        gain / list_sum([1 / log2(place + 1) FOR place IN range(1, n_best::BIGINT + 1)]) AS ndcg,
        n_hits / n_relevant AS recall,
        precisions / n_best AS map
    FROM shown
    JOIN told USING (as_of, {list})
)
SELECT
    as_of,
    {list},
    before.n_rows,
    before.ndcg AS ndcg_before,
    after.ndcg AS ndcg_after,
    before.recall AS recall_before,
    after.recall AS recall_after,
    before.map AS map_before,
    after.map AS map_after
FROM (FROM figures WHERE side = 'before') AS before
JOIN (FROM figures WHERE side = 'after') AS after USING (as_of, {list})
ORDER BY as_of, {list}
