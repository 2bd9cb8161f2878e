"""The steps of the written query that put aggregates together: running totals, lists of few facts, and spreads."""

from __future__ import annotations

from warehouse.ranges.layout import indented, select
from warehouse.ranges.plans import EVERY_FACT, Needs, Plan


def total_steps(plan: Plan, needs: Needs, *, is_wanted: bool = False) -> list[tuple[str, str]]:
    """Write the steps from partial aggregates to the values per key and page.

    `is_wanted` tells whether `range_wanted` has the pages that each key is wanted on.
    """
    measures = [f"{aggregate} AS measure_{n}" for n, (aggregate, _) in enumerate(needs.measures)]
    partials = [f"{aggregate} AS partial_{n}" for n, aggregate in enumerate(needs.partials)]
    pages = ["min(first_page) AS first_page", "max(last_page) AS last_page"]
    is_long = ["bool_or(is_long) AS is_long"] if needs.partials else []
    parts = select(
        ["key_id", "segment", *pages, *is_long, *measures, *partials],
        "FROM range_facts",
        "GROUP BY key_id, segment",
    )
    return [
        ("range_parts", parts),
        ("range_running", _running(needs)),
        ("range_lists", _lists(plan)),
        *([("range_rows", _rows(needs))] if needs.listed else []),
        ("range_places", _places(needs, is_wanted)),
        ("range_moves", _moves(plan, needs)),
        ("range_values", _values(needs)),
    ]


def _running(needs: Needs) -> str:
    running = [
        f"CAST(sum(coalesce(measure_{n}, 0)) OVER along AS {kind}) AS running_{n}"
        for n, (_, kind) in enumerate(needs.measures)
    ]
    return select(
        [
            *("key_id", "segment", "first_page", "last_page"),
            "row_number() OVER along::INTEGER AS place",
            "lead(segment, 1, segment + 1) OVER along - segment AS gap",
            *running,
        ],
        "FROM range_parts",
        "WINDOW along AS (PARTITION BY key_id ORDER BY segment ROWS UNBOUNDED PRECEDING)",
    )


def _lists(plan: Plan) -> str:
    """Write the one list that the places are looked up in; lists of the totals would all have to be sorted."""
    return select(
        [
            "1 AS key_id" if plan.is_global else "key_id",
            "min(segment) AS first_segment",
            f"{'(SELECT min(page) FROM range_pages)' if plan.is_global else 'min(first_page)'} AS first_page",
            f"{'(SELECT max(page) FROM range_pages)' if plan.is_global else 'max(last_page)'} AS last_page",
            "flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places",
        ],
        "FROM range_running",
        *([] if plan.is_global else ["GROUP BY key_id"]),
    )


def _rows(needs: Needs) -> str:
    return select(
        ["key_id", *(f"list(input_{n} ORDER BY segment) AS input_{n}" for n in needs.listed)],
        "FROM range_facts",
        "WHERE NOT is_long",
        "GROUP BY key_id",
    )


def _places(needs: Needs, is_wanted: bool) -> str:
    """Look up the place of each edge: how many parts of the key lie before it."""
    arrays = ["list(as_of ORDER BY page) AS as_ofs"]
    arrays += [f"list(edge_{n} ORDER BY page) AS edges_{n}" for n in range(len(needs.edges))]
    places = [
        f"CASE WHEN edges_{n}[page] > first_segment"
        f" THEN places[least(edges_{n}[page] - first_segment, len(places))] ELSE 0 END AS place_{n}"
        for n in range(len(needs.edges))
    ]
    # Joined before unnest, the lists of pages stay as they are: a filter could not turn that into a join
    # that copies them for each row.
    pages = "pages" if is_wanted else "range(first_page, last_page + 1)"
    spelled = select(
        ["*", f"unnest({pages})::INTEGER AS page"],
        "FROM range_lists",
        *(["JOIN range_wanted USING (key_id)"] if is_wanted else []),
        f"CROSS JOIN {indented(select(arrays, 'FROM range_windows'))} AS arrays",
    )
    return select(["key_id", "page", "as_ofs[page] AS as_of", *places], f"FROM {indented(spelled)} AS spelled")


def _moves(plan: Plan, needs: Needs) -> str:
    """Put the totals at the edges beside each key and page; before the key's first part stand zeros."""
    edges = {*needs.counted, *(edge for _, *window in needs.moves for edge in window)}
    at = {edge: f"total_{edge}" for edge in sorted(edges)}
    moves = [
        f"coalesce({at[upper]}.running_{measure}, 0) - coalesce({at[lower]}.running_{measure}, 0) AS move_{number}"
        for number, (measure, lower, upper) in enumerate(needs.moves)
    ]
    lower, upper = needs.window(plan.window)
    moves += _lists_of_window(needs, lower, upper)
    joins = [
        f"LEFT JOIN range_running AS {total} ON {total}.key_id = places.key_id AND {total}.place = place_{edge}"
        for edge, total in at.items()
    ]
    joins += ["LEFT JOIN range_rows ON range_rows.key_id = places.key_id"] if needs.listed else []
    joins += [] if plan.is_global else [f"WHERE place_{upper} > place_{lower}"]
    return select(["places.key_id", "page", "as_of", *moves], "FROM range_places AS places", *joins)


def _lists_of_window(needs: Needs, lower: int, upper: int) -> list[str]:
    """Cut the outer window out of the lists, and count from where it begins."""
    if not needs.listed:
        return []
    so_many = f"running_{needs.measures.index(EVERY_FACT)}"
    until = {edge: f"coalesce(total_{edge}.{so_many}, 0)" for edge in needs.counted}
    return [
        *(f"{until[edge]} - {until[lower]} AS until_{edge}" for edge in needs.counted),
        *(f"input_{n}[{until[lower]} + 1:{until[upper]}] AS input_{n}" for n in needs.listed),
    ]


def _values(needs: Needs) -> str:
    values = [f"{text} AS value_{number}" for number, text in needs.values.items()]
    return select(["key_id", "page", "as_of", *values], "FROM range_moves")


def spread_steps(needs: Needs) -> list[tuple[str, str]]:
    """Write the steps for keys of many facts, whose aggregates need each fact, or each part, again."""
    return [
        (f"range_spread_{number}", _spread(*edges, dict(values)))
        for number, (edges, values) in enumerate(needs.spreads.items())
    ]


def _spread(lower: int, upper: int, over_parts: bool, values: dict[int, str]) -> str:
    """Send each fact, or each part, to the pages whose window holds it."""
    reached = f"SELECT page, unnest(range(edge_{lower}, edge_{upper}))::INTEGER AS segment\nFROM range_windows"
    return select(
        ["key_id", "page", *(f"{text} AS value_{number}" for number, text in values.items())],
        f"FROM {'range_parts' if over_parts else 'range_facts'}",
        f"JOIN {indented(reached)} AS reached USING (segment)",
        "WHERE is_long",
        "GROUP BY key_id, page",
    )
