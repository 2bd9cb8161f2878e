"""The steps of the written query that put aggregates together: running totals, lists of few facts, and spreads."""

from __future__ import annotations

from collections.abc import Sequence

from warehouse.batching.ranges.layout import indented, select
from warehouse.batching.ranges.plans import EVERY_FACT, Needs, Plan


def total_steps(plan: Plan, needs: Needs, *, is_wanted: bool = False) -> list[tuple[str, str]]:
    """Write the steps from partial aggregates to the values per key and page.

    `is_wanted` tells whether `range_wanted` has the pages that each key is wanted on.
    """
    measures = [f"{aggregate} AS measure_{n}" for n, (aggregate, _) in enumerate(needs.measures)]
    partials = [f"{aggregate} AS partial_{n}" for n, aggregate in enumerate(needs.partials)]
    reach = [] if is_wanted or plan.is_global else ["min(first_page) AS first_page", "max(last_page) AS last_page"]
    is_long = ["bool_or(is_long) AS is_long"] if needs.partials else []
    parts = select(
        ["key_id", "segment", *reach, *is_long, *measures, *partials],
        "FROM range_facts",
        "GROUP BY key_id, segment",
    )
    return [
        ("range_parts", parts),
        ("range_running", _running(needs, has_reach=bool(reach))),
        ("range_lists", _lists(plan, needs, reach)),
        *([("range_rows", _rows(needs))] if needs.listed else []),
        ("range_places", _places(plan, needs, is_wanted)),
        ("range_moves", _moves(plan, needs)),
        ("range_values", _values(needs)),
    ]


def _running(needs: Needs, *, has_reach: bool) -> str:
    """Add up along all keys, one after the other: what the keys before a key came to is taken away with the rest.

    In this order a total needs neither PARTITION BY nor ORDER BY, for which DuckDB would gather the parts of each key
    before it adds up any: that took a fifth of the whole query's time. The order is not taken from range_parts itself,
    which a CTE that is read twice would not keep.
    """
    running = [
        f"CAST(sum(coalesce(measure_{n}, 0)) OVER along AS {kind}) AS running_{n}"
        for n, (_, kind) in enumerate(needs.measures)
    ]
    return select(
        [
            *("key_id", "segment", *(["first_page", "last_page"] if has_reach else [])),
            "row_number() OVER ()::INTEGER AS place",
            "CASE WHEN lead(key_id) OVER () = key_id THEN lead(segment) OVER () - segment ELSE 1 END AS gap",
            *([f"{_every_fact(needs, 'measure')} AS n_facts"] if needs.listed else []),
            *running,
        ],
        "FROM (FROM range_parts ORDER BY key_id, segment)",
        "WINDOW along AS (ROWS UNBOUNDED PRECEDING)",
    )


def _lists(plan: Plan, needs: Needs, reach: Sequence[str]) -> str:
    """Write the one list that the places are looked up in; lists of the totals would all have to be sorted."""
    before = [f"min({_every_fact(needs, 'running')} - n_facts) AS facts_before"] if needs.listed else []
    return select(
        [
            "1 AS key_id" if plan.is_global else "key_id",
            "min(segment) AS first_segment",
            "coalesce(min(place) - 1, 0) AS place_before",
            *before,
            *reach,
            "flatten(list(list_resize([]::INTEGER[], gap, place) ORDER BY segment)) AS places",
        ],
        "FROM range_running",
        *([] if plan.is_global else ["GROUP BY key_id"]),
    )


def _every_fact(needs: Needs, name: str) -> str:
    """Give the column that counts facts: a part's `measure`, or the `running` total."""
    return f"{name}_{needs.measures.index(EVERY_FACT)}"


def _rows(needs: Needs) -> str:
    return select(
        ["key_id", *(f"list(input_{n} ORDER BY segment) AS input_{n}" for n in needs.listed)],
        "FROM range_facts",
        "WHERE NOT is_long",
        "GROUP BY key_id",
    )


def _places(plan: Plan, needs: Needs, is_wanted: bool) -> str:
    """Look up the place of each edge: that of the last part before it, of this key or, at its beginning, another."""
    arrays = ["list(as_of ORDER BY page) AS as_ofs"]
    arrays += [f"list(edge_{n} ORDER BY page) AS edges_{n}" for n in range(len(needs.edges))]
    places = [
        f"CASE WHEN edges_{n}[page] > first_segment"
        f" THEN places[least(edges_{n}[page] - first_segment, len(places))] ELSE place_before END AS place_{n}"
        for n in range(len(needs.edges))
    ]
    # Joined before unnest, the lists of pages stay as they are: a filter could not turn that into a join
    # that copies them for each row.
    if is_wanted:
        pages = "pages"
    elif plan.is_global:
        pages = "range(1, len(as_ofs) + 1)"
    else:
        pages = "range(first_page, last_page + 1)"
    spelled = select(
        ["*", f"unnest({pages})::INTEGER AS page"],
        "FROM range_lists",
        *(["JOIN range_wanted USING (key_id)"] if is_wanted else []),
        f"CROSS JOIN {indented(select(arrays, 'FROM range_windows'))} AS arrays",
    )
    before = ["facts_before"] if needs.listed else []
    return select(["key_id", "page", "as_ofs[page] AS as_of", *before, *places], f"FROM {indented(spelled)} AS spelled")


def _moves(plan: Plan, needs: Needs) -> str:
    """Put the totals at the edges beside each key and page; before the first part of all stand zeros."""
    edges = {*needs.counted, *(edge for _, *window in needs.moves for edge in window)}
    at = {edge: f"total_{edge}" for edge in sorted(edges)}
    moves = [
        f"coalesce({at[upper]}.running_{measure}, 0) - coalesce({at[lower]}.running_{measure}, 0) AS move_{number}"
        for number, (measure, lower, upper) in enumerate(needs.moves)
    ]
    lower, upper = needs.window(plan.window)
    moves += _lists_of_window(needs, lower, upper)
    joins = [f"LEFT JOIN range_running AS {total} ON {total}.place = place_{edge}" for edge, total in at.items()]
    joins += ["LEFT JOIN range_rows ON range_rows.key_id = places.key_id"] if needs.listed else []
    joins += [] if plan.is_global else [f"WHERE place_{upper} > place_{lower}"]
    return select(["places.key_id", "page", "as_of", *moves], "FROM range_places AS places", *joins)


def _lists_of_window(needs: Needs, lower: int, upper: int) -> list[str]:
    """Cut the outer window out of the lists, and count from where it begins."""
    if not needs.listed:
        return []
    so_many = _every_fact(needs, "running")
    until = {edge: f"coalesce(total_{edge}.{so_many}, 0)" for edge in needs.counted}
    # The edges of a window that holds nothing may both lie before the outer window; an index below zero would count
    # from the list's end.
    return [
        *(f"greatest({until[edge]} - {until[lower]}, 0) AS until_{edge}" for edge in needs.counted),
        *(
            f"input_{n}[{until[lower]} - facts_before + 1:{until[upper]} - facts_before] AS input_{n}"
            for n in needs.listed
        ),
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
