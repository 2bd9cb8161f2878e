"""Plan: what is missing, failed and stale of a product's pages, and why; how it would be made, and at what cost.

Changes nothing. What it says is what `almanac backfill` acts on: both read `jobs.page_states`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from jobs.chunk_size import chunk_size
from jobs.costs import Cost, estimate_cost
from jobs.page_states import Kind, PageState, grid_pages, page_states
from jobs.suite import Suite
from warehouse import ledger
from warehouse.definitions import Definitions, Product
from warehouse.range_pass import range_forms
from warehouse.ranges import Reason
from warehouse.sandbox import source_columns


@dataclass(frozen=True)
class Span:
    """Pages that follow one another on the grid, from `first` to `last`, both included."""

    first: datetime
    last: datetime
    n_pages: int


@dataclass(frozen=True)
class Group:
    """Pages of one state for one reason."""

    state: str
    why: str | None
    n_pages: int
    spans: list[Span]


@dataclass(frozen=True)
class Way:
    """How the pages of a feature group would be made: `range` (many in one pass) or `plain`, and then why."""

    feature_group: str
    way: str
    why: str | None


@dataclass(frozen=True)
class Plan:
    """The plan of one product's pages from `first` to `last`.

    Attributes
    ----------
    n_pages
        How many pages the grid has in the range.
    groups
        All of them by state and reason; a stale page's state is `stale`.
    n_wanted
        How many of them `almanac backfill` would make without `--only`: those missing or failed.
    n_without_model
        How many more it would make if a version had been in effect.
    n_stale
        How many it would make with `--only stale`.
    pages_per_commit
        How many it would make at a time.
    ways
        One for each feature group, in the order in which they are made.
    cost, cost_of_stale
        What that would cost, each by itself.
    """

    product: str
    first: datetime
    last: datetime
    n_pages: int
    groups: list[Group]
    n_wanted: int
    n_without_model: int
    n_stale: int
    pages_per_commit: int
    ways: list[Way]
    cost: Cost
    cost_of_stale: Cost


def plan(
    suite: Suite,
    product_name: str,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    features_only: bool = False,
) -> Plan:
    """Make the plan of a product's pages from `start` (default: the first) to before `end` (default: now).

    Raises
    ------
    UsageError
        If the grid has no page there.
    """
    product = suite.definitions.product(product_name)
    pages = grid_pages(product, start, end, suite.clock())
    kind: Kind = "features" if features_only else "predictions"
    with suite.lake.reading() as connection:
        states = page_states(suite, product, pages, kind, connection)
        chosen = [state for state in states if state.is_wanted(None)]
        without_model = sum(state.model is None for state in chosen) if kind == "predictions" else 0
        wanted = len(chosen) - without_model
        stale = sum(state.stale for state in states)
        per_commit = chunk_size(connection, product).pages()
        job = "features" if features_only else "predict"
        costs = [estimate_cost(connection, product.name, job, n, per_commit) for n in (wanted, stale)]
        ways = ways_of(suite.definitions, product, connection)
    return Plan(
        product.name,
        pages[0],
        pages[-1],
        len(pages),
        group_states(states),
        wanted,
        without_model,
        stale,
        per_commit,
        ways,
        *costs,
    )


def group_states(states: Sequence[PageState]) -> list[Group]:
    """Put pages of the same state and reason together, the most urgent first; `states` are in the grid's order."""
    spans: dict[tuple[str, str | None], list[Span]] = {}
    for key, same in itertools.groupby(states, key=lambda state: (state.shown, state.why)):
        spans.setdefault(key, []).append(_span(same))
    groups = [Group(state, why, sum(span.n_pages for span in found), found) for (state, why), found in spans.items()]
    return sorted(groups, key=lambda group: (_ORDER.index(group.state), group.spans[0].first))


_ORDER = ("running", "failed", "rejected", "missing", "stale", "published")


def _span(states: Iterable[PageState]) -> Span:
    pages = [state.as_of for state in states]
    return Span(pages[0], pages[-1], len(pages))


def ways_of(definitions: Definitions, product: Product, connection: duckdb.DuckDBPyConnection) -> list[Way]:
    """Say which way each feature group of a product goes where many pages are made; `connection` reads the lake."""
    columns_of = functools.partial(source_columns, connection)
    facts = ledger.source_facts(connection)
    forms = range_forms(definitions, definitions.groups_of(product), facts, columns_of)
    return [
        Way(name, "plain", str(form)) if isinstance(form, Reason) else Way(name, "range", None)
        for name, form in forms.items()
    ]
