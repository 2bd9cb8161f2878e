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
    range_wanted     per key, the pages that it is wanted on, where that is known
    range_parts      partial aggregates by key and segment
    range_running    running totals of them, along all keys one after the other
    range_lists      per key, for each segment the place of the total that stands there
    range_rows       per key of few facts, what each of them contributes, as lists
    range_places     per key and page, the places of the window's edges
    range_moves      per key and page, what the totals gained between a window's edges, and what it holds of the
                     lists; only where the page reads a row of that key
    range_values     per key and page, the aggregates that follow from that
    range_spread_N   per page and key of many facts, the aggregates that need each of them

The author's expressions are evaluated in range_bounds (over `as_of` alone), in range_inputs (over the facts
alone) and in the last SELECT (over what has been computed); no name of ours is in scope there that could be
taken for one of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from warehouse.batching.ranges.layout import indented, select
from warehouse.batching.ranges.plans import Needs, Plan
from warehouse.batching.ranges.segments import fact_steps, page_steps
from warehouse.batching.ranges.totals import spread_steps, total_steps
from warehouse.system_sql import quote


def compose(plan: Plan, pages: str, facts: str, wanted: str | None = None) -> str:
    """Write the query.

    Parameters
    ----------
    plan
        The recognised query.
    pages
        SQL of a relation with a column `as_of` (TIMESTAMP).
    facts
        SQL of the source's relation: its columns and `known_at`, unfiltered.
    wanted
        SQL of a relation of `as_of` and the keys by the names of the result; None: every key that has facts.

    Returns
    -------
    str
        A SELECT whose columns are `as_of` and then the author's.
    """
    needs = Needs.of(plan)
    steps = [*page_steps(plan, needs, pages), *fact_steps(plan, needs, facts)]
    steps += [("range_wanted", _wanted(plan, wanted))] if wanted else []
    steps += total_steps(plan, needs, is_wanted=bool(wanted))
    steps += spread_steps(needs)
    bodies = [body for _, body in steps] + [_last(plan, needs)]
    ladder = ",\n".join(
        f"{name} AS {'MATERIALIZED ' if _uses(bodies, name) > 1 else ''}{indented(body)}" for name, body in steps
    )
    return f"WITH {ladder}\n{bodies[-1]}"


def _wanted(plan: Plan, wanted: str) -> str:
    names = dict(plan.items)
    match = " AND ".join(
        f"wanted.{quote(names[quote(f'key_{n}')])} = range_keys.key_{n}" for n in range(len(plan.keys))
    )
    return select(
        ["key_id", "list(DISTINCT page) AS pages"],
        f"FROM {wanted} AS wanted",
        "JOIN range_pages ON range_pages.as_of = wanted.as_of",
        f"JOIN range_keys ON {match}",
        "GROUP BY key_id",
    )


def _last(plan: Plan, needs: Needs) -> str:
    columns = ["key_id", "page", "as_of", *(f"key_{n}" for n in range(len(plan.keys)))]
    for number, (_, recipe) in enumerate(plan.calls):
        found = [f"{step}.value_{number}" for step in needs.steps_of(number)]
        found += [recipe.otherwise] if recipe.otherwise is not None else []
        columns.append(found[0] if len(found) == 1 else f"coalesce({', '.join(found)}) AS value_{number}")
    joins = ["JOIN range_keys USING (key_id)"] if plan.keys else []
    joins += [f"LEFT JOIN range_spread_{n} USING (key_id, page)" for n in range(len(needs.spreads))]
    computed = select(columns, "FROM range_values", *joins)
    items = ["as_of", *(f"{text} AS {quote(name)}" for text, name in plan.items)]
    having = [f"WHERE {plan.having}"] if plan.having else []
    return select(items, f"FROM {indented(computed)} AS computed", *having)


def _uses(bodies: Sequence[str], name: str) -> int:
    return sum(len(re.findall(rf"(?:FROM|JOIN) {name}\b", body)) for body in bodies)
