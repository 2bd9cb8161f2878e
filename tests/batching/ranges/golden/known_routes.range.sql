WITH range_pages AS (
    SELECT as_of, row_number() OVER (ORDER BY as_of)::INTEGER AS page
    FROM (SELECT DISTINCT as_of::TIMESTAMP AS as_of FROM pages WHERE as_of IS NOT NULL)
),
range_bounds AS (
    SELECT
        page,
        as_of,
        as_of - to_microseconds(900000000) AS bound_0
    FROM range_pages
),
range_stretches AS MATERIALIZED (
    SELECT
        page,
        as_of,
        CASE WHEN bound_0 IS NULL THEN coalesce(bound_0, TIMESTAMP '-infinity') ELSE least(TIMESTAMP '-infinity', coalesce(bound_0, TIMESTAMP '-infinity')) END AS edge_0,
        coalesce(bound_0, TIMESTAMP '-infinity') AS edge_1
    FROM range_bounds
),
range_edges AS MATERIALIZED (
    SELECT edge, row_number() OVER (ORDER BY edge)::INTEGER AS segment
    FROM (SELECT DISTINCT unnest([edge_0, edge_1]) AS edge FROM range_stretches)
),
range_windows AS MATERIALIZED (
    SELECT
        page,
        as_of,
        by_0.segment AS edge_0,
        by_1.segment AS edge_1
    FROM range_stretches
    JOIN range_edges AS by_0 ON by_0.edge = edge_0
    JOIN range_edges AS by_1 ON by_1.edge = edge_1
),
range_segments AS (
    SELECT
        segment,
        edge,
        lead(edge) OVER (ORDER BY segment) AS next_edge,
        min(opening.page) OVER (ORDER BY segment DESC) AS first_page,
        max(closing.page) OVER (ORDER BY segment) AS last_page
    FROM range_edges
    LEFT JOIN (
        SELECT edge_1 - 1 AS segment, min(page) AS page FROM range_windows GROUP BY ALL
    ) AS opening USING (segment)
    LEFT JOIN (
        SELECT edge_0 AS segment, max(page) AS page FROM range_windows GROUP BY ALL
    ) AS closing USING (segment)
),
range_scale AS MATERIALIZED (
    SELECT
        epoch_us(min(edge)) AS base,
        epoch_us(max(edge)) AS top,
        greatest(1, (epoch_us(max(edge)) - epoch_us(min(edge))) // (16 * count(*))) AS width
    FROM range_edges
    WHERE isfinite(edge) AND edge > make_timestamp(-9223372022400000000)
),
range_buckets AS (
    SELECT
        segment,
        edge,
        next_edge,
        first_page,
        last_page,
        unnest(range(
            CASE WHEN isfinite(edge) AND edge > make_timestamp(-9223372022400000000) THEN (epoch_us(edge) - base) // width ELSE -1 END,
            CASE
                WHEN NOT (isfinite(edge) AND edge > make_timestamp(-9223372022400000000)) THEN 0
                WHEN isfinite(next_edge) THEN (epoch_us(next_edge) - 1 - base) // width + 1
                ELSE (top - base) // width + 1
            END
        )) AS bucket
    FROM range_segments CROSS JOIN range_scale
    WHERE first_page <= last_page
),
range_inputs AS MATERIALIZED (
    SELECT
        segment,
        first_page,
        last_page,
        key_0,
        key_1
    FROM (
        SELECT
            *,
            CASE WHEN epoch_us(seen_at) >= base THEN (least(epoch_us(seen_at), top) - base) // width ELSE -1 END AS seen_in
        FROM (
            SELECT
                known_at AS seen_at,
                (("origin" || '-') || "dest") AS key_0,
                "carrier" AS key_1
            FROM lake.sources.landings
            WHERE known_at >= (SELECT min(edge) FROM range_edges)
              AND known_at < (SELECT max(edge) FROM range_edges)
        ) AS contributed
        CROSS JOIN range_scale
    ) AS placed
    JOIN range_buckets ON bucket = seen_in AND seen_at >= edge AND seen_at < next_edge
),
range_keys AS MATERIALIZED (
    SELECT row_number() OVER ()::INTEGER AS key_id, key_0, key_1, n_facts
    FROM (SELECT key_0, key_1, count(*) AS n_facts FROM range_inputs GROUP BY ALL)
),
range_facts AS (
    SELECT
        key_id,
        segment,
        first_page,
        last_page
    FROM range_inputs JOIN range_keys ON range_inputs.key_0 IS NOT DISTINCT FROM range_keys.key_0 AND range_inputs.key_1 IS NOT DISTINCT FROM range_keys.key_1
    ORDER BY key_id, segment
),
range_parts AS (
    SELECT
        key_id,
        segment,
        min(first_page) AS first_page,
        max(last_page) AS last_page,
        count(*) AS measure_0
    FROM range_facts
    GROUP BY key_id, segment
),
range_running AS MATERIALIZED (
    SELECT
        key_id,
        segment,
        first_page,
        last_page,
        row_number() OVER ()::INTEGER AS place,
        CASE WHEN lead(key_id) OVER () = key_id THEN lead(segment) OVER () - segment ELSE 1 END AS gap,
        CAST(sum(coalesce(measure_0, 0)) OVER along AS BIGINT) AS running_0
    FROM (FROM range_parts ORDER BY key_id, segment)
    WINDOW along AS (ROWS UNBOUNDED PRECEDING)
),
range_lists AS (
    SELECT
        key_id,
        min(segment) AS first_segment,
        coalesce(min(place) - 1, 0) AS place_before,
        min(first_page) AS first_page,
        max(last_page) AS last_page,
        flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places
    FROM range_running
    GROUP BY key_id
),
range_places AS (
    SELECT
        key_id,
        page,
        as_ofs[page] AS as_of,
        CASE WHEN edges_0[page] > first_segment THEN places[least(edges_0[page] - first_segment, len(places))] ELSE place_before END AS place_0,
        CASE WHEN edges_1[page] > first_segment THEN places[least(edges_1[page] - first_segment, len(places))] ELSE place_before END AS place_1
    FROM (
        SELECT
            *,
            unnest(range(first_page, last_page + 1))::INTEGER AS page
        FROM range_lists
        CROSS JOIN (
            SELECT
                list(as_of ORDER BY page) AS as_ofs,
                list(edge_0 ORDER BY page) AS edges_0,
                list(edge_1 ORDER BY page) AS edges_1
            FROM range_windows
        ) AS arrays
    ) AS spelled
),
range_moves AS (
    SELECT
        places.key_id,
        page,
        as_of,
        coalesce(total_1.running_0, 0) - coalesce(total_0.running_0, 0) AS move_0
    FROM range_places AS places
    LEFT JOIN range_running AS total_0 ON total_0.place = place_0
    LEFT JOIN range_running AS total_1 ON total_1.place = place_1
    WHERE place_1 > place_0
),
range_values AS (
    SELECT
        key_id,
        page,
        as_of,
        CAST(move_0 AS BIGINT) AS value_0
    FROM range_moves
)
SELECT
    as_of,
    "key_0" AS "route",
    "key_1" AS "carrier"
FROM (
    SELECT
        key_id,
        page,
        as_of,
        key_0,
        key_1,
        range_values.value_0
    FROM range_values
    JOIN range_keys USING (key_id)
) AS computed
WHERE ("value_0" > 10)
