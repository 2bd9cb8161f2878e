"""The one query that makes the rows of many pages.

It is a ladder of CTEs, each named for what it holds:

    range_pages      the instants asked for, numbered in order
    range_bounds     per page, what each bound of the author's query comes to
    range_stretches  per page, the edges of each window
    range_edges      all edges in order: between two of them, no window begins or ends (a segment)
    range_windows    per page, the windows as segment numbers [lower, upper)
    range_segments   per segment, the first and last page that may read it
    range_scale,     how facts find their segment
    range_buckets
    range_inputs     the facts that some page reads: segment, keys, what they contribute
    range_keys       the keys, numbered
    range_facts      range_inputs with key numbers
    range_parts      partial aggregates by key and segment
    range_running    running totals of them along each key
    range_lists      per key, the totals as lists, and for each segment the place of its total in them
    range_places     per key and page, the places of the window's edges
    range_moves      per key and page, what the totals gained between a window's edges; only where the page
                     reads a row of that key
    range_values     per key and page, the aggregates that follow from that
    range_spread_N   per key and page, the aggregates that need each row

The author's expressions are evaluated in range_bounds (over `as_of` alone), in range_inputs (over the facts
alone) and in the last SELECT (over what has been computed); no name of ours is in scope there that could be
taken for one of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from warehouse.ranges.aggregates import Call, Recipe
from warehouse.ranges.parsing import quoted
from warehouse.ranges.windows import Window

Thing = TypeVar("Thing")

# Facts find their segment by an equality join on buckets of equal width, about sixteen to a segment: an ASOF
# JOIN would sort them, or, where DuckDB guesses that there are few, try every edge (DuckDB 1.5 guesses badly
# behind a comparison with a subquery).
SCALE = """\
SELECT
    epoch_us(min(edge)) AS base,
    epoch_us(max(edge)) AS top,
    greatest(1, (epoch_us(max(edge)) - epoch_us(min(edge))) // (16 * count(*))) AS width
FROM range_edges
WHERE isfinite(edge)"""
BUCKETS = """\
SELECT
    segment,
    edge,
    next_edge,
    first_page,
    last_page,
    unnest(range(
        CASE WHEN isfinite(edge) THEN (epoch_us(edge) - base) // width ELSE -1 END,
        CASE
            WHEN NOT isfinite(edge) THEN 0
            WHEN isfinite(next_edge) THEN (epoch_us(next_edge) - 1 - base) // width + 1
            ELSE (top - base) // width + 1
        END
    )) AS bucket
FROM range_segments CROSS JOIN range_scale
WHERE first_page <= last_page"""
BUCKET_OF_FACT = """\
CASE WHEN epoch_us(seen_at) >= base THEN (least(epoch_us(seen_at), top) - base) // width ELSE -1 END"""


@dataclass(frozen=True)
class Plan:
    """A recognised query, ready to be written out.

    Parameters
    ----------
    bounds
        Expressions of the column `as_of`, one for each bound.
    window
        The outer window, of WHERE and of what has arrived.
    conditions
        WHERE's conditions free of `$as_of`, over the source's columns.
    keys
        The group keys, over the source's columns; empty for one row per page.
    is_global
        Whether the query has no GROUP BY, and so has a row even where it reads none.
    calls
        The aggregates with their recipes; the n-th is column `value_n` of what the items see.
    items
        The select list: SQL over `key_n`, `value_n` and `as_of`, and the column's name.
    having
        SQL over the same, or None.
    """

    bounds: tuple[str, ...]
    window: Window
    conditions: tuple[str, ...]
    keys: tuple[str, ...]
    is_global: bool
    calls: tuple[tuple[Call, Recipe], ...]
    items: tuple[tuple[str, str], ...]
    having: str | None


@dataclass
class _Parts:
    """What the ladder's middle carries, each thing once: edges, inputs, measures, spreads."""

    edges: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    measures: list[tuple[str, str]] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)
    # A measure between two edges.
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    # By window edges and whether parts are spread rather than facts: (column of the value, aggregate).
    spreads: dict[tuple[int, int, bool], list[tuple[int, str]]] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)


def compose(plan: Plan, pages: str, facts: str) -> str:
    """Write the query.

    Parameters
    ----------
    plan
        The recognised query.
    pages
        SQL of a relation with a column `as_of` (TIMESTAMP).
    facts
        SQL of the source's relation: its columns and `known_at`, unfiltered.

    Returns
    -------
    str
        A SELECT whose columns are `as_of` and then the author's.
    """
    parts = _parts(plan)
    steps = [*_page_steps(plan, parts, pages), *_fact_steps(plan, parts, facts), *_total_steps(plan, parts)]
    steps += [
        (f"range_spread_{number}", _spread(parts, edges, values))
        for number, (edges, values) in enumerate(parts.spreads.items())
    ]
    bodies = [body for _, body in steps] + [_last(plan, parts)]
    ladder = ",\n".join(
        f"{name} AS {'MATERIALIZED ' if _uses(bodies, name) > 1 else ''}{_indented(body)}" for name, body in steps
    )
    return f"WITH {ladder}\n{bodies[-1]}"


def _parts(plan: Plan) -> _Parts:
    parts = _Parts()
    _edges(parts, plan.window)
    for number, (call, recipe) in enumerate(plan.calls):
        lower, upper = _edges(parts, call.window)
        source = f"input_{_index(parts.inputs, recipe.input)}" if recipe.input is not None else ""
        if recipe.way == "running":
            differences = []
            for aggregate, kind in recipe.measures:
                measure = _index(parts.measures, (aggregate.format(x=source), kind))
                differences.append(f"move_{_index(parts.moves, (measure, lower, upper))}")
            parts.values[number] = f"CAST({recipe.value.format(*differences)} AS {call.type})"
            continue
        over_parts = bool(recipe.measures)
        if over_parts:
            partial = _index(parts.partials, recipe.measures[0][0].format(x=source))
            source = f"partial_{partial}"
        values = parts.spreads.setdefault((lower, upper, over_parts), [])
        values.append((number, recipe.value.format(x=source)))
    return parts


def _page_steps(plan: Plan, parts: _Parts, pages: str) -> list[tuple[str, str]]:
    bounds = [f"{expression} AS bound_{number}" for number, expression in enumerate(plan.bounds)]
    edges = [f"{edge} AS edge_{number}" for number, edge in enumerate(parts.edges)]
    every_edge = ", ".join(f"edge_{number}" for number in range(len(edges)))
    numbered = [f"by_{n}.segment AS edge_{n}" for n in range(len(edges))]
    joins = [f"JOIN range_edges AS by_{n} ON by_{n}.edge = edge_{n}" for n in range(len(edges))]
    lower, upper = _edges(parts, plan.window)
    return [
        (
            "range_pages",
            "SELECT as_of, row_number() OVER (ORDER BY as_of)::INTEGER AS page\n"
            f"FROM (SELECT DISTINCT as_of::TIMESTAMP AS as_of FROM {pages} WHERE as_of IS NOT NULL)",
        ),
        ("range_bounds", _select(["page", "as_of", *bounds], "FROM range_pages")),
        ("range_stretches", _select(["page", "as_of", *edges], "FROM range_bounds")),
        (
            "range_edges",
            "SELECT edge, row_number() OVER (ORDER BY edge)::INTEGER AS segment\n"
            f"FROM (SELECT DISTINCT unnest([{every_edge}]) AS edge FROM range_stretches)",
        ),
        ("range_windows", _select(["page", "as_of", *numbered], "FROM range_stretches", *joins)),
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


def _fact_steps(plan: Plan, parts: _Parts, facts: str) -> list[tuple[str, str]]:
    keys = [f"{key} AS key_{number}" for number, key in enumerate(plan.keys)]
    inputs = [f"{text} AS input_{number}" for number, text in enumerate(parts.inputs)]
    key_names = [f"key_{number}" for number in range(len(keys))]
    input_names = [f"input_{number}" for number in range(len(inputs))]
    reach = [
        "known_at >= (SELECT min(edge) FROM range_edges)",
        "known_at < (SELECT max(edge) FROM range_edges)",
    ]
    where = "\n  AND ".join([*(f"({condition})" for condition in plan.conditions), *reach])
    contributed = _select(["known_at AS seen_at", *keys, *inputs], f"FROM {facts}", f"WHERE {where}")
    placed = _select(
        ["*", f"{BUCKET_OF_FACT} AS seen_in"],
        f"FROM {_indented(contributed)} AS contributed",
        "CROSS JOIN range_scale",
    )
    segmented = _select(
        ["segment", "first_page", "last_page", *key_names, *input_names],
        f"FROM {_indented(placed)} AS placed",
        "JOIN range_buckets ON bucket = seen_in AND seen_at >= edge AND seen_at < next_edge",
    )
    steps = [("range_inputs", segmented)]
    own = ["segment", "first_page", "last_page", *input_names]
    if not keys:
        return [*steps, ("range_facts", _select(["1 AS key_id", *own], "FROM range_inputs"))]
    match = " AND ".join(f"range_inputs.{name} IS NOT DISTINCT FROM range_keys.{name}" for name in key_names)
    return [
        *steps,
        (
            "range_keys",
            f"SELECT row_number() OVER ()::INTEGER AS key_id, {', '.join(key_names)}\n"
            f"FROM (SELECT DISTINCT {', '.join(key_names)} FROM range_inputs)",
        ),
        (
            "range_facts",
            _select(
                ["key_id", *own],
                f"FROM range_inputs JOIN range_keys ON {match}",
                "ORDER BY key_id, segment",
            ),
        ),
    ]


def _total_steps(plan: Plan, parts: _Parts) -> list[tuple[str, str]]:
    measures = [f"{aggregate} AS measure_{n}" for n, (aggregate, _) in enumerate(parts.measures)]
    partials = [f"{aggregate} AS partial_{n}" for n, aggregate in enumerate(parts.partials)]
    running = [
        f"CAST(sum(coalesce(measure_{n}, 0)) OVER along AS {kind}) AS running_{n}"
        for n, (_, kind) in enumerate(parts.measures)
    ]
    lists = [
        f"list_prepend(0::{kind}, list(running_{n} ORDER BY segment)) AS total_{n}"
        for n, (_, kind) in enumerate(parts.measures)
    ]
    pages = ["min(first_page) AS first_page", "max(last_page) AS last_page"]
    return [
        (
            "range_parts",
            _select(
                ["key_id", "segment", *pages, *measures, *partials],
                "FROM range_facts",
                "GROUP BY key_id, segment",
            ),
        ),
        (
            "range_running",
            _select(
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
            _select(
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
        ("range_places", _places(parts)),
        ("range_moves", _moves(plan, parts)),
        ("range_values", _values(parts)),
    ]


def _places(parts: _Parts) -> str:
    """Look up the place of each edge: how many totals lie before it, plus one for the zero in front."""
    totals = [f"total_{n}" for n in range(len(parts.measures))]
    arrays = ["list(as_of ORDER BY page) AS as_ofs"]
    arrays += [f"list(edge_{n} ORDER BY page) AS edges_{n}" for n in range(len(parts.edges))]
    places = [
        f"CASE WHEN edges_{n}[page] > first_segment"
        f" THEN places[least(edges_{n}[page] - first_segment, len(places))] + 1 ELSE 1 END AS place_{n}"
        for n in range(len(parts.edges))
    ]
    # Joined before unnest, the lists of pages stay as they are: a filter could not turn that into a join
    # that copies them for each row.
    spelled = _select(
        ["*", "unnest(range(first_page, last_page + 1)) AS page"],
        f"FROM range_lists CROSS JOIN {_indented(_select(arrays, 'FROM range_windows'))} AS arrays",
    )
    return _select(
        ["key_id", "page", "as_ofs[page] AS as_of", *places, *totals],
        f"FROM {_indented(spelled)} AS spelled",
    )


def _moves(plan: Plan, parts: _Parts) -> str:
    moves = [
        f"total_{measure}[place_{upper}] - total_{measure}[place_{lower}] AS move_{number}"
        for number, (measure, lower, upper) in enumerate(parts.moves)
    ]
    lower, upper = _edges(parts, plan.window)
    present = [] if plan.is_global else [f"WHERE place_{upper} > place_{lower}"]
    return _select(["key_id", "page", "as_of", *moves], "FROM range_places", *present)


def _values(parts: _Parts) -> str:
    values = [f"{text} AS value_{number}" for number, text in parts.values.items()]
    return _select(["key_id", "page", "as_of", *values], "FROM range_moves")


def _spread(parts: _Parts, edges: tuple[int, int, bool], values: Sequence[tuple[int, str]]) -> str:
    lower, upper, over_parts = edges
    reached = f"SELECT page, unnest(range(edge_{lower}, edge_{upper}))::INTEGER AS segment\nFROM range_windows"
    return _select(
        ["key_id", "page", *(f"{text} AS value_{number}" for number, text in values)],
        f"FROM {'range_parts' if over_parts else 'range_facts'}",
        f"JOIN {_indented(reached)} AS reached USING (segment)",
        "GROUP BY key_id, page",
    )


def _last(plan: Plan, parts: _Parts) -> str:
    columns = ["key_id", "page", "as_of", *(f"key_{n}" for n in range(len(plan.keys)))]
    for number, (_, recipe) in enumerate(plan.calls):
        name = f"value_{number}"
        columns.append(name if recipe.otherwise is None else f"coalesce({name}, {recipe.otherwise}) AS {name}")
    joins = ["JOIN range_keys USING (key_id)"] if plan.keys else []
    joins += [f"LEFT JOIN range_spread_{n} USING (key_id, page)" for n in range(len(parts.spreads))]
    computed = _select(columns, "FROM range_values", *joins)
    items = ["as_of", *(f"{text} AS {quoted(name)}" for text, name in plan.items)]
    having = [f"WHERE {plan.having}"] if plan.having else []
    return _select(items, f"FROM {_indented(computed)} AS computed", *having)


def _uses(bodies: Sequence[str], name: str) -> int:
    return sum(len(re.findall(rf"(?:FROM|JOIN) {name}\b", body)) for body in bodies)


def _edges(parts: _Parts, window: Window) -> tuple[int, int]:
    return _index(parts.edges, window.lower_sql), _index(parts.edges, window.upper_sql)


def _index(things: list[Thing], thing: Thing) -> int:
    if thing not in things:
        things.append(thing)
    return things.index(thing)


def _select(columns: Sequence[str], *clauses: str) -> str:
    return "\n".join(["SELECT", ",\n".join(f"    {column}" for column in columns), *clauses])


def _indented(body: str) -> str:
    return "(\n" + "\n".join(f"    {line}" for line in body.splitlines()) + "\n)"
