WITH range_pages AS (
    SELECT as_of, row_number() OVER (ORDER BY as_of)::INTEGER AS page
    FROM (SELECT DISTINCT as_of::TIMESTAMP AS as_of FROM pages WHERE as_of IS NOT NULL)
),
range_bounds AS (
    SELECT
        page,
        as_of,
        CAST(timezone('America/New_York', date_trunc('day', timezone('America/New_York', timezone('UTC', "as_of")))) AS TIMESTAMP) AS bound_0,
        as_of - to_microseconds(900000000) AS bound_1
    FROM range_pages
),
range_stretches AS MATERIALIZED (
    SELECT
        page,
        as_of,
        CASE WHEN bound_0 IS NULL OR bound_1 IS NULL THEN coalesce(bound_1, TIMESTAMP '-infinity') ELSE least(bound_0, coalesce(bound_1, TIMESTAMP '-infinity')) END AS edge_0,
        coalesce(bound_1, TIMESTAMP '-infinity') AS edge_1
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
        input_0,
        input_1,
        input_2
    FROM (
        SELECT
            *,
            CASE WHEN epoch_us(seen_at) >= base THEN (least(epoch_us(seen_at), top) - base) // width ELSE -1 END AS seen_in
        FROM (
            SELECT
                known_at AS seen_at,
                "arrival_delay" AS input_0,
                "known_at" AS input_1,
                "carrier" AS input_2
            FROM lake.sources.landings
            WHERE ((NOT "cancelled"))
              AND known_at >= (SELECT min(edge) FROM range_edges)
              AND known_at < (SELECT max(edge) FROM range_edges)
        ) AS contributed
        CROSS JOIN range_scale
    ) AS placed
    JOIN range_buckets ON bucket = seen_in AND seen_at >= edge AND seen_at < next_edge
),
range_facts AS MATERIALIZED (
    SELECT
        1 AS key_id,
        (SELECT count(*) FROM range_inputs) > 256 AS is_long,
        segment,
        first_page,
        last_page,
        input_0,
        input_1,
        input_2
    FROM range_inputs
),
range_parts AS MATERIALIZED (
    SELECT
        key_id,
        segment,
        bool_or(is_long) AS is_long,
        count(input_0) AS measure_0,
        sum(input_0) AS measure_1,
        count(*) AS measure_2,
        max(input_1) AS partial_0
    FROM range_facts
    GROUP BY key_id, segment
),
range_running AS MATERIALIZED (
    SELECT
        key_id,
        segment,
        row_number() OVER ()::INTEGER AS place,
        CASE WHEN lead(key_id) OVER () = key_id THEN lead(segment) OVER () - segment ELSE 1 END AS gap,
        measure_2 AS n_facts,
        CAST(sum(coalesce(measure_0, 0)) OVER along AS BIGINT) AS running_0,
        CAST(sum(coalesce(measure_1, 0)) OVER along AS BIGINT) AS running_1,
        CAST(sum(coalesce(measure_2, 0)) OVER along AS BIGINT) AS running_2
    FROM (FROM range_parts ORDER BY key_id, segment)
    WINDOW along AS (ROWS UNBOUNDED PRECEDING)
),
range_lists AS (
    SELECT
        1 AS key_id,
        min(segment) AS first_segment,
        coalesce(min(place) - 1, 0) AS place_before,
        min(running_2 - n_facts) AS facts_before,
        flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places
    FROM range_running
),
range_rows AS (
    SELECT
        key_id,
        list(input_1 ORDER BY segment) AS input_1,
        list(input_2 ORDER BY segment) AS input_2
    FROM range_facts
    WHERE NOT is_long
    GROUP BY key_id
),
range_places AS (
    SELECT
        key_id,
        page,
        as_ofs[page] AS as_of,
        facts_before,
        CASE WHEN edges_0[page] > first_segment THEN places[least(edges_0[page] - first_segment, len(places))] ELSE place_before END AS place_0,
        CASE WHEN edges_1[page] > first_segment THEN places[least(edges_1[page] - first_segment, len(places))] ELSE place_before END AS place_1
    FROM (
        SELECT
            *,
            unnest(range(1, len(as_ofs) + 1))::INTEGER AS page
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
        coalesce(total_1.running_0, 0) - coalesce(total_0.running_0, 0) AS move_0,
        coalesce(total_1.running_1, 0) - coalesce(total_0.running_1, 0) AS move_1,
        greatest(coalesce(total_0.running_2, 0) - coalesce(total_0.running_2, 0), 0) AS until_0,
        greatest(coalesce(total_1.running_2, 0) - coalesce(total_0.running_2, 0), 0) AS until_1,
        input_1[coalesce(total_0.running_2, 0) - facts_before + 1:coalesce(total_1.running_2, 0) - facts_before] AS input_1,
        input_2[coalesce(total_0.running_2, 0) - facts_before + 1:coalesce(total_1.running_2, 0) - facts_before] AS input_2
    FROM range_places AS places
    LEFT JOIN range_running AS total_0 ON total_0.place = place_0
    LEFT JOIN range_running AS total_1 ON total_1.place = place_1
    LEFT JOIN range_rows ON range_rows.key_id = places.key_id
),
range_values AS (
    SELECT
        key_id,
        page,
        as_of,
        CAST(CASE WHEN move_0 > 0 THEN move_1 END AS HUGEINT) AS value_0,
        list_aggregate(input_1[until_0 + 1:until_1], 'max') AS value_1,
        list_unique(input_2[until_0 + 1:until_1])::BIGINT AS value_2
    FROM range_moves
),
range_spread_0 AS (
    SELECT
        key_id,
        page,
        max(partial_0) AS value_1
    FROM range_parts
    JOIN (
        SELECT page, unnest(range(edge_0, edge_1))::INTEGER AS segment
        FROM range_windows
    ) AS reached USING (segment)
    WHERE is_long
    GROUP BY key_id, page
),
range_spread_1 AS (
    SELECT
        key_id,
        page,
        count(DISTINCT input_2) AS value_2
    FROM range_facts
    JOIN (
        SELECT page, unnest(range(edge_0, edge_1))::INTEGER AS segment
        FROM range_windows
    ) AS reached USING (segment)
    WHERE is_long
    GROUP BY key_id, page
)
SELECT
    as_of,
    "value_0" AS "delay",
    "value_1" AS "newest",
    "value_2" AS "carriers"
FROM (
    SELECT
        key_id,
        page,
        as_of,
        range_values.value_0,
        coalesce(range_values.value_1, range_spread_0.value_1) AS value_1,
        coalesce(range_values.value_2, range_spread_1.value_2, 0) AS value_2
    FROM range_values
    LEFT JOIN range_spread_0 USING (key_id, page)
    LEFT JOIN range_spread_1 USING (key_id, page)
) AS computed
