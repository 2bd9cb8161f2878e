-- What making a group's pages comes to: how many facts all pages read together, how many facts there are, and how many
-- keys they have. Facts are counted by quarters of a day, which is near enough to choose between two ways.
WITH quarters AS (
    SELECT time_bucket(INTERVAL 6 HOUR, known_at) AS quarter, count(*) AS n_facts
    FROM {facts}
    GROUP BY ALL
),
windows AS (
    SELECT {lower} AS lower_edge, {upper} AS upper_edge
    FROM (SELECT {bounds} FROM (SELECT as_of::TIMESTAMP AS as_of FROM {pages}))
)
SELECT
    (
        SELECT coalesce(sum(n_facts), 0)::BIGINT
        FROM windows
        JOIN quarters ON quarter >= lower_edge AND quarter < upper_edge
    ) AS n_read,
    (SELECT count(*) FROM {facts}) AS n_facts,
    (SELECT {keys} FROM {facts}) AS n_keys
