"""The steps of the written query that cut time into segments, and find the segment of each fact.

Between two edges no window of any page begins or ends, so all facts of a segment are read by the same pages.
"""

from __future__ import annotations

from warehouse.batching.ranges.layout import indented, select
from warehouse.batching.ranges.plans import Needs, Plan
from warehouse.batching.ranges.windows import AFTER_NEGATIVE_INFINITY

#: A key of more facts than this has none of them listed: for each page that reads it, DuckDB copies the list once.
LISTED_FACTS = 256

# The edges of "everything since ever"; facts before all others are in bucket -1.
IS_REGULAR = f"isfinite(edge) AND edge > {AFTER_NEGATIVE_INFINITY}"
# Facts find their segment by an equality join on buckets of equal width, about sixteen to a segment: an ASOF
# JOIN would sort them, or, where DuckDB guesses that there are few, try every edge (DuckDB 1.5 guesses badly
# behind a comparison with a subquery).
SCALE = f"""\
SELECT
    epoch_us(min(edge)) AS base,
    epoch_us(max(edge)) AS top,
    greatest(1, (epoch_us(max(edge)) - epoch_us(min(edge))) // (16 * count(*))) AS width
FROM range_edges
WHERE {IS_REGULAR}"""
BUCKETS = f"""\
SELECT
    segment,
    edge,
    next_edge,
    first_page,
    last_page,
    unnest(range(
        CASE WHEN {IS_REGULAR} THEN (epoch_us(edge) - base) // width ELSE -1 END,
        CASE
            WHEN NOT ({IS_REGULAR}) THEN 0
            WHEN isfinite(next_edge) THEN (epoch_us(next_edge) - 1 - base) // width + 1
            ELSE (top - base) // width + 1
        END
    )) AS bucket
FROM range_segments CROSS JOIN range_scale
WHERE first_page <= last_page"""
BUCKET_OF_FACT = """\
CASE WHEN epoch_us(seen_at) >= base THEN (least(epoch_us(seen_at), top) - base) // width ELSE -1 END"""


def page_steps(plan: Plan, needs: Needs, pages: str) -> list[tuple[str, str]]:
    """Write the steps over the pages alone, from the instants to the buckets of their segments."""
    bounds = [f"{expression} AS bound_{number}" for number, expression in enumerate(plan.bounds)]
    edges = [f"{edge} AS edge_{number}" for number, edge in enumerate(needs.edges)]
    every_edge = ", ".join(f"edge_{number}" for number in range(len(edges)))
    numbered = [f"by_{n}.segment AS edge_{n}" for n in range(len(edges))]
    joins = [f"JOIN range_edges AS by_{n} ON by_{n}.edge = edge_{n}" for n in range(len(edges))]
    lower, upper = needs.window(plan.window)
    return [
        (
            "range_pages",
            "SELECT as_of, row_number() OVER (ORDER BY as_of)::INTEGER AS page\n"
            f"FROM (SELECT DISTINCT as_of::TIMESTAMP AS as_of FROM {pages} WHERE as_of IS NOT NULL)",
        ),
        ("range_bounds", select(["page", "as_of", *bounds], "FROM range_pages")),
        ("range_stretches", select(["page", "as_of", *edges], "FROM range_bounds")),
        (
            "range_edges",
            "SELECT edge, row_number() OVER (ORDER BY edge)::INTEGER AS segment\n"
            f"FROM (SELECT DISTINCT unnest([{every_edge}]) AS edge FROM range_stretches)",
        ),
        ("range_windows", select(["page", "as_of", *numbered], "FROM range_stretches", *joins)),
        (
            "range_segments",
            "SELECT\n"
            "    segment,\n"
            "    edge,\n"
            "    lead(edge) OVER (ORDER BY segment) AS next_edge,\n"
            "    min(opening.page) OVER (ORDER BY segment DESC) AS first_page,\n"
            "    max(closing.page) OVER (ORDER BY segment) AS last_page\n"
            "FROM range_edges\n"
            "LEFT JOIN (\n"
            f"    SELECT edge_{upper} - 1 AS segment, min(page) AS page FROM range_windows GROUP BY ALL\n"
            ") AS opening USING (segment)\n"
            "LEFT JOIN (\n"
            f"    SELECT edge_{lower} AS segment, max(page) AS page FROM range_windows GROUP BY ALL\n"
            ") AS closing USING (segment)",
        ),
        ("range_scale", SCALE),
        ("range_buckets", BUCKETS),
    ]


def fact_steps(plan: Plan, needs: Needs, facts: str) -> list[tuple[str, str]]:
    """Write the steps over the facts: what each contributes, under which key, in which segment."""
    keys = [f"{key} AS key_{number}" for number, key in enumerate(plan.keys)]
    inputs = [f"{text} AS input_{number}" for number, text in enumerate(needs.inputs)]
    key_names = [f"key_{number}" for number in range(len(keys))]
    input_names = [f"input_{number}" for number in range(len(inputs))]
    reach = [
        "known_at >= (SELECT min(edge) FROM range_edges)",
        "known_at < (SELECT max(edge) FROM range_edges)",
    ]
    where = "\n  AND ".join([*(f"({condition})" for condition in plan.conditions), *reach])
    contributed = select(["known_at AS seen_at", *keys, *inputs], f"FROM {facts}", f"WHERE {where}")
    placed = select(
        ["*", f"{BUCKET_OF_FACT} AS seen_in"],
        f"FROM {indented(contributed)} AS contributed",
        "CROSS JOIN range_scale",
    )
    segmented = select(
        ["segment", "first_page", "last_page", *key_names, *input_names],
        f"FROM {indented(placed)} AS placed",
        "JOIN range_buckets ON bucket = seen_in AND seen_at >= edge AND seen_at < next_edge",
    )
    steps = [("range_inputs", segmented)]
    own = ["segment", "first_page", "last_page", *input_names]
    if not keys:
        is_long = [f"(SELECT count(*) FROM range_inputs) > {LISTED_FACTS} AS is_long"] if needs.spreads else []
        return [*steps, ("range_facts", select(["1 AS key_id", *is_long, *own], "FROM range_inputs"))]
    is_long = [f"n_facts > {LISTED_FACTS} AS is_long"] if needs.spreads else []
    match = " AND ".join(f"range_inputs.{name} IS NOT DISTINCT FROM range_keys.{name}" for name in key_names)
    return [
        *steps,
        (
            "range_keys",
            f"SELECT row_number() OVER ()::INTEGER AS key_id, {', '.join(key_names)}, n_facts\n"
            f"FROM (SELECT {', '.join(key_names)}, count(*) AS n_facts FROM range_inputs GROUP BY ALL)",
        ),
        (
            "range_facts",
            select(
                ["key_id", *is_long, *own],
                f"FROM range_inputs JOIN range_keys ON {match}",
                "ORDER BY key_id, segment",
            ),
        ),
    ]
