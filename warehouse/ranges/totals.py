"""The steps of the written query that put aggregates together: running totals, and spreads."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.ranges.layout import indented, select
from warehouse.ranges.plans import Needs, Plan


def total_steps(plan: Plan, needs: Needs, *, is_wanted: bool = False) -> list[tuple[str, str]]:
    """Write the steps from partial aggregates to the values per key and page.

    `is_wanted` tells whether `range_wanted` has the pages that each key is wanted on.
    """
    measures = [f"{aggregate} AS measure_{n}" for n, (aggregate, _) in enumerate(needs.measures)]
    partials = [f"{aggregate} AS partial_{n}" for n, aggregate in enumerate(needs.partials)]
    running = [
        f"CAST(sum(coalesce(measure_{n}, 0)) OVER along AS {kind}) AS running_{n}"
        for n, (_, kind) in enumerate(needs.measures)
    ]
    lists = [
        f"list_prepend(0::{kind}, list(running_{n} ORDER BY segment)) AS total_{n}"
        for n, (_, kind) in enumerate(needs.measures)
    ]
    pages = ["min(first_page) AS first_page", "max(last_page) AS last_page"]
    return [
        (
            "range_parts",
            select(
                ["key_id", "segment", *pages, *measures, *partials],
                "FROM range_facts",
                "GROUP BY key_id, segment",
            ),
        ),
        (
            "range_running",
            select(
                [
                    *("key_id", "segment", "first_page", "last_page"),
                    "row_number() OVER along::INTEGER AS place",
                    "lead(segment, 1, segment + 1) OVER along - segment AS gap",
                    *running,
                ],
                "FROM range_parts",
                "WINDOW along AS (PARTITION BY key_id ORDER BY segment ROWS UNBOUNDED PRECEDING)",
            ),
        ),
        (
            "range_lists",
            select(
                [
                    "1 AS key_id" if plan.is_global else "key_id",
                    "min(segment) AS first_segment",
                    *(["(SELECT min(page) FROM range_pages) AS first_page"] if plan.is_global else pages[:1]),
                    *(["(SELECT max(page) FROM range_pages) AS last_page"] if plan.is_global else pages[1:]),
                    "flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places",
                    *lists,
                ],
                "FROM range_running",
                *([] if plan.is_global else ["GROUP BY key_id"]),
            ),
        ),
        ("range_places", _places(needs, is_wanted)),
        ("range_moves", _moves(plan, needs)),
        ("range_values", _values(needs)),
    ]


def _places(needs: Needs, is_wanted: bool) -> str:
    """Look up the place of each edge: how many totals lie before it, plus one for the zero in front."""
    totals = [f"total_{n}" for n in range(len(needs.measures))]
    arrays = ["list(as_of ORDER BY page) AS as_ofs"]
    arrays += [f"list(edge_{n} ORDER BY page) AS edges_{n}" for n in range(len(needs.edges))]
    places = [
        f"CASE WHEN edges_{n}[page] > first_segment"
        f" THEN places[least(edges_{n}[page] - first_segment, len(places))] + 1 ELSE 1 END AS place_{n}"
        for n in range(len(needs.edges))
    ]
    # Joined before unnest, the lists of pages stay as they are: a filter could not turn that into a join
    # that copies them for each row.
    pages = "pages" if is_wanted else "range(first_page, last_page + 1)"
    spelled = select(
        ["*", f"unnest({pages})::INTEGER AS page"],
        f"FROM range_lists {'JOIN range_wanted USING (key_id) ' if is_wanted else ''}CROSS JOIN"
        f" {indented(select(arrays, 'FROM range_windows'))} AS arrays",
    )
    return select(
        ["key_id", "page", "as_ofs[page] AS as_of", *places, *totals],
        f"FROM {indented(spelled)} AS spelled",
    )


def _moves(plan: Plan, needs: Needs) -> str:
    moves = [
        f"total_{measure}[place_{upper}] - total_{measure}[place_{lower}] AS move_{number}"
        for number, (measure, lower, upper) in enumerate(needs.moves)
    ]
    lower, upper = needs.window(plan.window)
    present = [] if plan.is_global else [f"WHERE place_{upper} > place_{lower}"]
    return select(["key_id", "page", "as_of", *moves], "FROM range_places", *present)


def _values(needs: Needs) -> str:
    values = [f"{text} AS value_{number}" for number, text in needs.values.items()]
    return select(["key_id", "page", "as_of", *values], "FROM range_moves")


def spread(edges: tuple[int, int, bool], values: Sequence[tuple[int, str]]) -> str:
    """Write the step that sends each fact, or each part, to the pages whose window holds it."""
    lower, upper, over_parts = edges
    reached = f"SELECT page, unnest(range(edge_{lower}, edge_{upper}))::INTEGER AS segment\nFROM range_windows"
    return select(
        ["key_id", "page", *(f"{text} AS value_{number}" for number, text in values)],
        f"FROM {'range_parts' if over_parts else 'range_facts'}",
        f"JOIN {indented(reached)} AS reached USING (segment)",
        "GROUP BY key_id, page",
    )
