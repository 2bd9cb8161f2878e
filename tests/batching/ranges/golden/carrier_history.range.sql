WITH range_pages AS (
    SELECT as_of, row_number() OVER (ORDER BY as_of)::INTEGER AS page
    FROM (SELECT DISTINCT as_of::TIMESTAMP AS as_of FROM pages WHERE as_of IS NOT NULL)
),
range_bounds AS (
    SELECT
        page,
        as_of,
        ("as_of" - to_days(CAST(trunc(CAST(28 AS DOUBLE)) AS INTEGER))) AS bound_0,
        as_of - to_microseconds(900000000) AS bound_1,
        ("as_of" - to_days(CAST(trunc(CAST(7 AS DOUBLE)) AS INTEGER))) AS bound_2
    FROM range_pages
),
range_stretches AS MATERIALIZED (
    SELECT
        page,
        as_of,
        CASE WHEN bound_0 IS NULL OR bound_1 IS NULL THEN coalesce(bound_1, TIMESTAMP '-infinity') ELSE least(bound_0, coalesce(bound_1, TIMESTAMP '-infinity')) END AS edge_0,
        coalesce(bound_1, TIMESTAMP '-infinity') AS edge_1,
        CASE WHEN bound_0 IS NULL OR bound_1 IS NULL OR bound_2 IS NULL THEN coalesce(bound_1, TIMESTAMP '-infinity') ELSE least(greatest(bound_0, bound_2), coalesce(bound_1, TIMESTAMP '-infinity')) END AS edge_2
    FROM range_bounds
),
range_edges AS MATERIALIZED (
    SELECT edge, row_number() OVER (ORDER BY edge)::INTEGER AS segment
    FROM (SELECT DISTINCT unnest([edge_0, edge_1, edge_2]) AS edge FROM range_stretches)
),
range_windows AS MATERIALIZED (
    SELECT
        page,
        as_of,
        by_0.segment AS edge_0,
        by_1.segment AS edge_1,
        by_2.segment AS edge_2
    FROM range_stretches
    JOIN range_edges AS by_0 ON by_0.edge = edge_0
    JOIN range_edges AS by_1 ON by_1.edge = edge_1
    JOIN range_edges AS by_2 ON by_2.edge = edge_2
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
        input_0,
        input_1
    FROM (
        SELECT
            *,
            CASE WHEN epoch_us(seen_at) >= base THEN (least(epoch_us(seen_at), top) - base) // width ELSE -1 END AS seen_in
        FROM (
            SELECT
                known_at AS seen_at,
                "carrier" AS key_0,
                "arrival_delay" AS input_0,
                ("arrival_delay" >= 30) AS input_1
            FROM lake.sources.landings
            WHERE known_at >= (SELECT min(edge) FROM range_edges)
              AND known_at < (SELECT max(edge) FROM range_edges)
        ) AS contributed
        CROSS JOIN range_scale
    ) AS placed
    JOIN range_buckets ON bucket = seen_in AND seen_at >= edge AND seen_at < next_edge
),
range_keys AS MATERIALIZED (
    SELECT row_number() OVER ()::INTEGER AS key_id, key_0, n_facts
    FROM (SELECT key_0, count(*) AS n_facts FROM range_inputs GROUP BY ALL)
),
range_facts AS MATERIALIZED (
    SELECT
        key_id,
        n_facts > 256 AS is_long,
        segment,
        first_page,
        last_page,
        input_0,
        input_1
    FROM range_inputs JOIN range_keys ON range_inputs.key_0 IS NOT DISTINCT FROM range_keys.key_0
    ORDER BY key_id, segment
),
range_parts AS (
    SELECT
        key_id,
        segment,
        min(first_page) AS first_page,
        max(last_page) AS last_page,
        count(*) AS measure_0,
        count(input_0) AS measure_1,
        sum(input_0) AS measure_2,
        count(*) FILTER (WHERE input_1) AS measure_3
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
        measure_0 AS n_facts,
        CAST(sum(coalesce(measure_0, 0)) OVER along AS BIGINT) AS running_0,
        CAST(sum(coalesce(measure_1, 0)) OVER along AS BIGINT) AS running_1,
        CAST(sum(coalesce(measure_2, 0)) OVER along AS BIGINT) AS running_2,
        CAST(sum(coalesce(measure_3, 0)) OVER along AS BIGINT) AS running_3
    FROM (FROM range_parts ORDER BY key_id, segment)
    WINDOW along AS (ROWS UNBOUNDED PRECEDING)
),
range_lists AS (
    SELECT
        key_id,
        min(segment) AS first_segment,
        coalesce(min(place) - 1, 0) AS place_before,
        min(running_0 - n_facts) AS facts_before,
        min(first_page) AS first_page,
        max(last_page) AS last_page,
        flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places
    FROM range_running
    GROUP BY key_id
),
range_rows AS (
    SELECT
        key_id,
        list(input_0 ORDER BY segment) AS input_0
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
        CASE WHEN edges_1[page] > first_segment THEN places[least(edges_1[page] - first_segment, len(places))] ELSE place_before END AS place_1,
        CASE WHEN edges_2[page] > first_segment THEN places[least(edges_2[page] - first_segment, len(places))] ELSE place_before END AS place_2
    FROM (
        SELECT
            *,
            unnest(range(first_page, last_page + 1))::INTEGER AS page
        FROM range_lists
        CROSS JOIN (
            SELECT
                list(as_of ORDER BY page) AS as_ofs,
                list(edge_0 ORDER BY page) AS edges_0,
                list(edge_1 ORDER BY page) AS edges_1,
                list(edge_2 ORDER BY page) AS edges_2
            FROM range_windows
        ) AS arrays
    ) AS spelled
),
range_moves AS (
    SELECT
        places.key_id,
        page,
        as_of,
        coalesce(total_1.running_0, 0) - coalesce(total_2.running_0, 0) AS move_0,
        coalesce(total_1.running_1, 0) - coalesce(total_0.running_1, 0) AS move_1,
        coalesce(total_1.running_2, 0) - coalesce(total_0.running_2, 0) AS move_2,
        coalesce(total_1.running_3, 0) - coalesce(total_0.running_3, 0) AS move_3,
        coalesce(total_1.running_0, 0) - coalesce(total_0.running_0, 0) AS move_4,
        greatest(coalesce(total_0.running_0, 0) - coalesce(total_0.running_0, 0), 0) AS until_0,
        greatest(coalesce(total_1.running_0, 0) - coalesce(total_0.running_0, 0), 0) AS until_1,
        input_0[coalesce(total_0.running_0, 0) - facts_before + 1:coalesce(total_1.running_0, 0) - facts_before] AS input_0
    FROM range_places AS places
    LEFT JOIN range_running AS total_0 ON total_0.place = place_0
    LEFT JOIN range_running AS total_1 ON total_1.place = place_1
    LEFT JOIN range_running AS total_2 ON total_2.place = place_2
    LEFT JOIN range_rows ON range_rows.key_id = places.key_id
    WHERE place_1 > place_0
),
range_values AS (
    SELECT
        key_id,
        page,
        as_of,
        CAST(move_0 AS BIGINT) AS value_0,
        CAST(CASE WHEN move_1 = 0 THEN NULL WHEN move_1 < 2048 AND abs(move_2) < 9007199254740992 OR move_2 = 0 THEN move_2::DOUBLE / move_1::DOUBLE ELSE sign(move_2) * (list_transform(list_transform(list_transform(list_transform([struct_pack(size := abs(move_2::BIGINT)::HUGEINT, count := move_1::HUGEINT, shift := 66 + floor(log2(move_1::DOUBLE))::INTEGER - floor(log2(abs(move_2::BIGINT)::HUGEINT::DOUBLE))::INTEGER)], lambda scaled: struct_pack(shift := scaled.shift, bits := (scaled.size << scaled.shift) // scaled.count, is_inexact := (scaled.size << scaled.shift) % scaled.count > 0)), lambda divided: struct_pack(shift := divided.shift, bits := divided.bits, is_inexact := divided.is_inexact, surplus := list_sum(list_transform([65, 66, 67, 68], lambda length: (divided.bits >= (1::HUGEINT << length))::INTEGER))::INTEGER + 1)), lambda trimmed: struct_pack(kept := trimmed.bits >> trimmed.surplus, power := trimmed.surplus - trimmed.shift, rest := trimmed.bits & ((1::HUGEINT << trimmed.surplus) - 1), half := 1::HUGEINT << (trimmed.surplus - 1), is_inexact := trimmed.is_inexact)), lambda parted: (parted.kept + (parted.rest > parted.half OR parted.rest = parted.half AND (parted.is_inexact OR parted.kept % 2 = 1))::INTEGER)::DOUBLE * pow(2.0::DOUBLE, parted.power)))[1] END AS DOUBLE) AS value_1,
        list_aggregate(input_0[until_0 + 1:until_1], 'quantile_disc', 0.9) AS value_2,
        CAST(move_3 AS BIGINT) AS value_3,
        CAST(move_4 AS BIGINT) AS value_4
    FROM range_moves
),
range_spread_0 AS (
    SELECT
        key_id,
        page,
        quantile_disc(input_0, 0.9) AS value_2
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
    "key_0" AS "carrier",
    "value_0" AS "landings_7d",
    "value_1" AS "delay_28d",
    "value_2" AS "delay_p90_28d",
    ("value_3" / "value_4") AS "late_share_28d"
FROM (
    SELECT
        key_id,
        page,
        as_of,
        key_0,
        range_values.value_0,
        range_values.value_1,
        coalesce(range_values.value_2, range_spread_0.value_2) AS value_2,
        range_values.value_3,
        range_values.value_4
    FROM range_values
    JOIN range_keys USING (key_id)
    LEFT JOIN range_spread_0 USING (key_id, page)
) AS computed
